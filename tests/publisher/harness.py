"""A poller's hand for the real publisher process: marks and sweeps written into its Redis, and what came of them."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from shared.clock import iso
from shared.model import Sweep
from tests.builders import reading, sweep
from tests.pipeline.harness import Pipeline
from tests.publisher import landing
from tests.waiting import eventually

APART_MS = 10_000


class Poller:
    """Lands sweeps as the poller does; every sweep has values of its own, so that none passes for another.

    They are stamped ten seconds apart, from some time ago on, however soon one follows the other: or a busy machine
    would be a backend slower than the sweeps, for which some are thinned.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._random = random.Random(7)
        self.landed: list[Sweep] = []
        self.at_work = True

    async def land(self) -> None:
        stamp_ms = self.landed[-1].ended_ms + APART_MS if self.landed else round(time.time() * 1000) - 100 * APART_MS
        readings = [
            reading(
                f"S{n:03}USDT",
                f"{1000 + n + len(self.landed)}",
                received_ms=stamp_ms - 100,
                price=f"{n + self._random.randint(10_000, 99_999) / 1000:.3f}",
            )
            for n in range(20)
        ]
        one = sweep(*readings, ended_ms=stamp_ms)
        await landing.land(self._pipeline.redis, one)
        self.landed.append(one)

    async def keep_landing(self, every_s: float) -> None:
        while self.at_work:
            await self.land()
            await asyncio.sleep(every_s)

    def timestamps(self) -> list[str]:
        return [iso(sweep.ended_ms) for sweep in self.landed]

    async def until_verified(self, publisher: str = "publisher") -> None:
        """The newest sweep was delivered, and seen served."""
        newest = self.timestamps()[-1]

        async def judged() -> bool:
            told = await self._pipeline.healthz(publisher)
            return (told.get("verdict"), told.get("batch")) == ("VERIFIED", newest)

        await eventually(judged)

    async def until_delivered(self) -> None:
        """Sweeps land on until none waits: late ones go out before a newer one, while there is time for them."""

        async def all_delivered() -> bool:
            await self.land()
            await self.until_verified()  # all that landed before it was taken by then
            return bool((await self._pipeline.redis.xpending("oi:sweeps", "publisher"))["pending"] == 0)

        await eventually(all_delivered, within_s=120, every_s=0.5)

    async def batches(self) -> list[dict[str, Any]]:
        """All that came in by POST, as it came."""
        found: list[dict[str, Any]] = (await self._pipeline.get("backend", "/control/batches?since=0"))["batches"]
        return found
