"""What came of a fault, and what has to hold after every one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.watch import now_ms
from tests.hosts.rig import SERVICES, Rig
from tests.hosts.seen import until

STEADY_S = 8.0  # before a fault, and after its end: cycles to compare with


class Outcome:
    """``verified_s``: to the first verified cycle that began after the fault. ``wrong``: why it did not pass."""

    def __init__(self, rig: Rig, sweeps: set[str]) -> None:
        self.rig = rig
        self.at_ms = now_ms()
        self.verified_s: float | None = None
        self.facts: dict[str, Any] = {}
        self.wrong: list[str] = []
        self._sweeps = sweeps

    @classmethod
    async def begin(cls, rig: Rig) -> Outcome:
        """The fault comes now."""
        return cls(rig, await rig.sweeps())

    def must(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    async def until_verified(self, within_s: float) -> None:
        self.verified_s = await self.rig.verified(self.at_ms)
        self.must(self.verified_s <= within_s, f"more than {within_s:g} s")

    async def took(self, fact: str, condition: Callable[[], Awaitable[bool]]) -> float:
        """Notes how many seconds it took until it held."""
        self.facts[fact] = round(await until(condition), 1)
        return float(self.facts[fact])

    async def until(self, seconds: float) -> None:
        """So long after the fault."""
        await asyncio.sleep(max(0.0, seconds - (now_ms() - self.at_ms) / 1000))

    async def judge(self, *, turns: int, settles_s: float = 0.0) -> Outcome:
        """What holds after every fault: one publisher at a time, no row twice beyond one cycle, one sweep lost at most.

        ``settles_s``: a batch that was under way when its owner was hurt does not count.
        """
        batches = await self.rig.batches(self.at_ms + round(settles_s * 1000))
        took_turns = _writers(batches)
        self.must(len(took_turns) <= turns, f"publishers took turns: {took_turns}")
        repeated = sum(1 for batch in batches if batch["repeated"])
        self.must(repeated <= 1, f"{repeated} batches went out twice")
        lost = len(self._sweeps - await self.rig.sweeps())
        self.must(lost <= 1, "more sweeps were lost than may not have been replicated")
        self.facts |= {"posts": len(batches), "twice": repeated, "lost": lost}
        return self

    async def nobody_else_moved(self, service: str, before: dict[str, str]) -> None:
        now = await self.rig.owners()
        stayed = all(now[name] == before[name] for name in SERVICES if name != service)
        self.must(stayed, "another service moved, too")


def _writers(batches: list[dict[str, Any]]) -> list[str]:
    """Who posted, in order, each run of POSTs once."""
    found: list[str] = []
    for batch in batches:
        if not found or found[-1] != batch["from"]:
            found.append(batch["from"])
    return found
