"""Hand-written stand-ins for what a unit test must steer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.clock import Clock
from shared.health import Health
from shared.service import Service


class FakeClock:
    """Both reading and waiting: a ``sleep`` moves the time instead of spending it."""

    def __init__(self, now_ms: int = 1_764_720_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1000.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, s: float) -> None:
        self._now_ms += round(s * 1000)
        self._monotonic_s += s

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock, as NTP or a hand does; what is monotonic does not notice."""
        self._now_ms += round(by_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def at_work(job: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """It runs until the block ends, and not less long."""
    task = asyncio.create_task(job)
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def service(clock: Clock, redis: Redis | None = None, name: str = "tested", limit_s: float = 5.0) -> Service:
    """What a loop is given to work with; a Redis that nobody reaches where the test has none."""
    return Service(name, redis or Redis(port=1), Health(clock, limit_s), CollectorRegistry(), clock)


def sample(of: Service, name: str, **labels: str) -> float:
    """What one of its metrics says."""
    return of.registry.get_sample_value(name, labels) or 0.0


def patient(client: Redis) -> Redis:
    """With a minute in place of a second or two: a busy machine is no Redis that is away."""
    client.connection_pool.connection_kwargs.update(socket_connect_timeout=60, socket_timeout=60)
    return client
