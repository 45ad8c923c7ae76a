"""What a check finds, and what the checks work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import msgspec
from redis.asyncio import Redis
from rich.table import Table
from rich.text import Text

from cli.settings import Given
from cli.show import DEGRADED, DOT, DOWN, EXIT, GOOD, STYLE, UNKNOWN
from cli.state import Snapshot

NAME_WIDTH = len("● venue_poller")
ORDER = (DOWN, DEGRADED, UNKNOWN, GOOD)


class Finding(msgspec.Struct, frozen=True):
    """``fix`` is empty where nothing is to be done."""

    check: str
    state: str
    what: str
    evidence: str = ""
    fix: str = ""


@dataclass
class Patient:
    """What the checks work with. ``why`` Redis cannot be read; empty where it can, and ``seen`` is empty else."""

    given: Given
    redis: Redis
    client: httpx.AsyncClient
    seen: Snapshot
    why: str


Check = Callable[[Patient], Awaitable[list[Finding]]]


def exit_status(findings: list[Finding]) -> int:
    """A check that could not be made spoils nothing by itself."""
    return max((EXIT[finding.state] for finding in findings if finding.state != UNKNOWN), default=EXIT[UNKNOWN])


def shown(finding: Finding) -> Table:
    """What was found, with its evidence, and what mends it; long lines stay in their column."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=NAME_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    evidence = (f"  ({finding.evidence})" if finding.evidence else "", "dim")
    table.add_row(
        Text(f"{DOT[finding.state]} {finding.check}", STYLE[finding.state]), Text.assemble(finding.what, evidence)
    )
    if finding.fix:
        table.add_row("", Text(f"fix  {finding.fix}"))
    return table
