"""The alerter as `__main__` wires it, against a real Redis, and sweeps as the poller would have written them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgpack
import pytest
from redis.asyncio import Redis

from services.oi_alerter.__main__ import serve
from services.oi_alerter.settings import Settings
from shared.clock import SystemClock
from shared.codec import encode_sweep
from shared.model import Sweep
from shared.service import Service
from shared.settings import load
from tests.builders import reading
from tests.fakes import at_work, service
from tests.waiting import eventually

Start = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start(redis: Redis) -> Start:
    """Run an alerter until the block ends; as often as the test likes."""
    default = redis

    @asynccontextmanager
    async def running(redis: Redis | None = None, **changes: str) -> AsyncIterator[Service]:
        settings = load(Settings, {"OI_ALERT_WARM": "off", **changes})
        client = redis or default
        one = service(SystemClock(), client, "oi_alerter", settings.limit_s)
        first = not await client.hexists("oi:alerter", "cursor")
        async with at_work(serve(settings, one)):
            if first:  # what is written before it is the past, and is not told
                await eventually(lambda: client.hexists("oi:alerter", "cursor"))
            yield one

    return running


class Book:
    """Writes sweeps ten seconds apart, stamped in the past, so that an hour of them is there in a moment."""

    def __init__(self, redis: Redis, behind_s: float = 7200) -> None:
        self.redis = redis
        self.now_ms = SystemClock().now_ms() - round(behind_s * 1000)
        self.last_id = "0-0"

    async def sweep(
        self, levels: Mapping[str, str], *, failures: Mapping[str, str] | None = None, price: str | None = "2000"
    ) -> None:
        await self.put(self._next(levels, 10, failures, price))

    async def hold(self, s: float, *, every_s: float = 10, **levels: str) -> None:
        """The same again and again, in one round trip."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for _ in range(round(s / every_s)):
                blob = self._next(levels, every_s)
                pipe.xadd("oi:sweeps", {"sweep": blob}, id=f"{self.now_ms + 200}-*")
            self.last_id = (await pipe.execute())[-1].decode()

    async def put(self, blob: bytes) -> None:
        entry_id = await self.redis.xadd("oi:sweeps", {"sweep": blob}, id=f"{self.now_ms + 200}-*")
        self.last_id = entry_id.decode()

    def _next(
        self,
        levels: Mapping[str, str],
        every_s: float,
        failures: Mapping[str, str] | None = None,
        price: str | None = "2000",
    ) -> bytes:
        self.now_ms += round(every_s * 1000)
        rows = {s: reading(s, contracts, received_ms=self.now_ms, price=price) for s, contracts in levels.items()}
        sweep = Sweep(f"sweep-{self.now_ms}", self.now_ms - 900, self.now_ms + 100, rows, dict(failures or {}))
        return encode_sweep(sweep)

    async def looked_at(self) -> None:
        """Wait until the alerter is through with all of it."""

        async def through() -> bool:
            cursor = await self.redis.hget("oi:alerter", "cursor")
            return bool(cursor == self.last_id.encode())

        await eventually(through)


@pytest.fixture
def book(redis: Redis) -> Book:
    return Book(redis)


async def alerts(redis: Redis) -> list[dict[str, Any]]:
    return [msgpack.unpackb(fields[b"alert"]) for _, fields in await redis.xrange("oi:alerts")]


async def told(redis: Redis) -> list[str]:
    """``ETHUSDT UP 5 min`` and the like, in order."""
    return [f"{alert['symbol']} {alert['direction']} {alert['timeframe']}" for alert in await alerts(redis)]
