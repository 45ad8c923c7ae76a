"""What came of a fault, and what has to hold after every one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cli import hosts
from shared.clock import SystemClock
from tests.chaos.watch import now_ms
from tests.hosts.rig import SERVICES, Rig
from tests.hosts.seen import again

STEADY_S = 8.0  # before a fault, and after its end: cycles to compare with


@dataclass
class Outcome:
    """``verified_s``: to the first verified cycle that began after the fault. ``wrong``: why it did not pass."""

    verified_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def must(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


def owners(batches: list[dict[str, Any]]) -> list[str]:
    """Who posted, in order, each run of POSTs once."""
    found: list[str] = []
    for batch in batches:
        if not found or found[-1] != batch["from"]:
            found.append(batch["from"])
    return found


async def watch(rig: Rig, since_ms: int, sweeps_before: set[str], outcome: Outcome, *, turns: int) -> None:
    """What holds after every fault: one publisher at a time, no row twice beyond one cycle, losses counted."""
    batches = await rig.batches(since_ms)
    turn = owners(batches)
    outcome.must(len(turn) <= turns, f"publishers took turns: {turn}")
    repeated = sum(1 for batch in batches if batch["repeated"])
    outcome.must(repeated <= 1, f"{repeated} batches went out twice")
    lost = len(sweeps_before - await rig.sweeps())
    outcome.facts |= {"posts": len(batches), "twice": repeated, "lost": lost}


async def stands_by(rig: Rig, host: str) -> bool:
    said = [await rig.health(host, service) for service in SERVICES]
    return all(status == 200 and detail.startswith("standby; ") for status, detail in said)


async def gather_on(rig: Rig, host: str) -> None:
    """All owners and the master on one host: what the worst fault can hit."""
    if await rig.master() != host:
        await rig.fail_over()
    for service in SERVICES:
        share = (await rig.shares())[service]
        if share.works != f"host-{host}":
            await again(lambda share=share: hosts.ask(rig.redis, share, now_ms()))  # type: ignore[misc]
            assert await hosts.until_moved(rig.redis, share, SystemClock()) is not None
    await rig.whole()
