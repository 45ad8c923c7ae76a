"""The real publisher process, and a poller's hand: marks and sweeps written into the real Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import httpx
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from dev.redis_server import free_port
from shared.clock import iso
from shared.model import Sweep
from tests.backend.stand_in import Backend as StandIn
from tests.builders import reading, sweep
from tests.publisher import landing
from tests.publisher.forked import Forked
from tests.waiting import eventually

APART_MS = 10_000
Batches = list[dict[str, Any]]


class Poller:
    """Lands sweeps as the poller does; every sweep has values of its own, so that none passes for another.

    They are stamped ten seconds apart, from some time ago on, however soon one follows the other: or a busy machine
    would be a backend slower than the sweeps, for which some are thinned.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._random = random.Random(7)
        self.landed: list[Sweep] = []
        self.at_work = True

    async def land(self) -> Sweep:
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
        await landing.land(self._redis, one)
        self.landed.append(one)
        return one

    async def keep_landing(self, every_s: float) -> None:
        while self.at_work:
            await self.land()
            await asyncio.sleep(every_s)

    def timestamps(self) -> list[str]:
        return [iso(sweep.ended_ms) for sweep in self.landed]


class Publisher:
    """One publisher process against the Node stand-in, as one test sees it."""

    KEY = "a-key-that-must-never-be-seen"

    def __init__(self, child: Forked, redis: Redis, stand_in: StandIn) -> None:
        self.child = child
        self.redis = redis
        self.stand_in = stand_in
        self.poller = Poller(redis)
        self._api = httpx.AsyncClient(timeout=5, base_url=f"http://127.0.0.1:{child.env['METRICS_PORT']}")

    @classmethod
    def settings(cls, redis_url: str, backend_url: str, **env: str) -> dict[str, str]:
        """What a process is told; waits of up to 15 s are scaled to half a second."""
        return {
            "REDIS_URL": redis_url,
            "BACKEND_URL": backend_url,
            "BACKEND_API_KEY": cls.KEY,
            "BACKEND_RETRY_MAX_SEC": "0.5",
            "BACKEND_TIMEOUT_SEC": "1",
            "METRICS_PORT": str(free_port()),
            **env,
        }

    async def start(self) -> None:
        """Start it, and wait until it is idle."""
        self.child.start()
        await self.until(self._is_idle)

    async def _is_idle(self) -> bool:
        """It has looked at Redis, which holds nothing to do."""
        try:
            return bool(await self.redis.xinfo_groups("oi:sweeps"))
        except ResponseError:
            return False

    @property
    def pid(self) -> int:
        assert self.child.process
        assert self.child.process.pid
        return self.child.process.pid

    async def close(self) -> None:
        await self._api.aclose()

    async def health(self) -> dict[str, Any]:
        """Nothing while it starts."""
        try:
            answer = await self._api.get("/healthz")
        except httpx.HTTPError:
            return {}
        return {"status": answer.status_code, **answer.json()}

    def batches(self) -> Batches:
        """Everything that came in by POST, as it came."""
        return [batch for batch in self.stand_in.batches() if batch["writer"] == "post"]

    def stored(self) -> list[str]:
        """Timestamps of the batches whose rows stand in the database, each once, in order of arrival."""
        return list(dict.fromkeys(batch["timestamp"] for batch in self.batches() if batch["stored"]))

    async def until(self, condition: Callable[[], Any], every_s: float = 0.02, within_s: float = 45.0) -> Any:
        """`eventually`, with the publisher's own words when it does not come true."""
        try:
            return await eventually(condition, within_s, every_s)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.child.tail(25)}") from None

    async def until_delivered(self) -> None:
        """Sweeps land on until none waits: late ones go out before a newer one, while there is time for them."""

        async def all_delivered() -> bool:
            await self.poller.land()
            await self.until_verdict("VERIFIED")  # all that landed before it was taken by then
            return bool((await self.redis.xpending("oi:sweeps", "publisher"))["pending"] == 0)

        await self.until(all_delivered, every_s=0.5, within_s=120)

    async def until_verdict(self, verdict: str) -> dict[str, Any]:
        """The health once the newest sweep was delivered with this verdict."""
        newest = self.poller.timestamps()[-1]

        async def judged() -> dict[str, Any] | None:
            health = await self.health()
            return health if health.get("verdict") == verdict and health.get("batch") == newest else None

        found: dict[str, Any] = await self.until(judged)
        return found
