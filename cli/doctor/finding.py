"""What a check finds, and what the checks work with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import msgspec
from redis.asyncio import Redis
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.settings import Told
from cli.show import DEGRADED, DOT, DOWN, EXIT, GOOD, STYLE, UNKNOWN
from cli.state import Snapshot

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
    """What the checks work with. ``seen`` is None while Redis cannot be read, for the reason in ``why``."""

    told: Told
    redis: Redis
    client: httpx.AsyncClient
    seen: Snapshot | None
    why: str
    probe: bool
    values: dict[str, float] = field(default_factory=dict)  # what the backend serves, once it was asked


def exit_status(findings: list[Finding]) -> int:
    """A check that could not be made spoils nothing by itself."""
    return max((EXIT[finding.state] for finding in findings if finding.state != UNKNOWN), default=EXIT[UNKNOWN])


def lines(finding: Finding) -> Iterator[RenderableType]:
    head = Text(f"{DOT[finding.state]} {finding.check:<9}", STYLE[finding.state])
    yield Text.assemble(head, finding.what, (f"  ({finding.evidence})" if finding.evidence else "", "dim"))
    if finding.fix:
        yield Padding(Text(f"fix  {finding.fix}"), (0, 0, 0, 11))
