"""The poller as `__main__` wires it, against a loopback exchange and a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from services.oi_poller.__main__ import serve
from services.oi_poller.settings import Settings
from shared.clock import Clock, SystemClock
from shared.model import Sweep
from shared.service import Service
from shared.settings import load
from shared.store import MARKS, SWEEPS, VOLUMES, round_trip
from shared.sweeplog import SweepReader
from tests.builders import mark, volume
from tests.fakes import at_work, service
from tests.oi_poller.venue import Venue
from tests.waiting import eventually

FAST = {"OI_MIN_INTERVAL_SEC": "0.05", "OI_MAX_INTERVAL_SEC": "30", "OI_MAX_REQ_PER_MIN": "100000", "HOST_ID": "host-a"}


Start = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def start(redis: Redis) -> Start:
    """Run a poller until the block ends; as often as the test likes, one after another."""

    @asynccontextmanager
    async def running(
        venue: Venue, clock: Clock | None = None, using: Redis | None = None, **changes: str
    ) -> AsyncIterator[Service]:
        settings = load(Settings, {"BINANCE_REST_URL": venue.origin, **FAST, **changes})
        one = service(clock or SystemClock(), using or redis, "oi_poller", settings.limit_s)
        async with at_work(serve(settings, one)):
            yield one

    return running


async def put_market(redis: Redis, symbols: Iterable[str], clock: Clock | None = None) -> None:
    """Marks and plenty of volume for these, as ws_daemon would have written them."""
    now_ms = (clock or SystemClock()).now_ms()
    names = list(symbols)
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {s: mark(s, received_ms=now_ms) for s in names})
        VOLUMES.put(pipe, {s: volume(s, event_ms=now_ms) for s in names})


async def sweeps(redis: Redis) -> list[Sweep]:
    """Every sweep in the stream, oldest first."""
    entries = await SweepReader(redis, f"test-{uuid4()}", "one").wait(1000, block_ms=1)
    return [entry.sweep for entry in entries if isinstance(entry.sweep, Sweep)]


async def landed(redis: Redis, count: int = 1) -> list[Sweep]:
    """Wait until so many sweeps are there; all there are then, oldest first."""

    async def enough() -> bool:
        return bool(await redis.xlen(SWEEPS) >= count)

    await eventually(enough)
    return await sweeps(redis)
