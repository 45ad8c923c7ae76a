"""The look at the count near the end of a minute."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.oi_poller.exchange import Fapi
from services.oi_poller.lastlook import UNSEEN, look_at_minute_ends
from services.oi_poller.transport import sweep_client
from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.errors import RateLimited
from shared.venues.binance.rest import Exchange
from tests.fakes import FakeClock
from tests.oi_poller.venue import Venue, serving
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("case", "asked"), [("free", True), ("used up", False), ("banned elsewhere", False), ("redis away", False)]
)
async def test_it_is_no_request_too_many(redis: Redis, clock: FakeClock, case: str, asked: bool) -> None:
    """Not where the minute is used up, not during a ban that another service was told, nor without knowing of it."""
    ready = asyncio.Event()
    async with serving(Venue(["BTCUSDT"], clock)) as venue, sweep_client(1) as get:
        ban = Ban(Redis(port=1) if case == "redis away" else redis, clock)
        budget = WeightBudget(None, 200)
        fapi = Fapi(Exchange(venue.origin, get, ban, clock), ban, budget, clock)
        await fapi.exchange_info(pytest.fail)
        if case == "used up":
            budget.limit = UNSEEN - 1
        elif case == "banned elsewhere":
            await Ban(redis, clock).record(RateLimited("slower", 1e6))
        ready.set()
        looking = asyncio.create_task(look_at_minute_ends(fapi, ready))
        await eventually(lambda: len(clock.slept) >= 4)  # two looks
        looking.cancel()

    assert bool(venue.time_asked_ms) is asked
    assert all(at_ms % 60_000 > 50_000 for at_ms in venue.time_asked_ms)
