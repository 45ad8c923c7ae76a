"""Requests as the exchange sees them, and its answers as the budget does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.oi_poller.exchange import Fapi
from services.oi_poller.transport import sweep_client
from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.clock import SystemClock, monotonic_ms
from shared.errors import Banned, RateLimited, Rejected, Transient, WireError
from shared.venues.binance.rest import Exchange
from tests.oi_poller.venue import DELISTED, TOO_MANY, Venue, serving
from tests.waiting import eventually

IN_FLIGHT = 8
BTC, CHINESE = "BTCUSDT", "币安人生USDT"


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with serving(Venue([BTC, CHINESE])) as venue:
        yield venue


@pytest.fixture
async def fapi(venue: Venue, redis: Redis, budget: WeightBudget) -> AsyncIterator[Fapi]:
    clock = SystemClock()
    ban = Ban(redis, clock)
    async with sweep_client(IN_FLIGHT) as client:
        yield Fapi(Exchange(venue.origin, client, ban, clock, timeout_s=60), ban, budget, clock)


@pytest.fixture
def budget() -> WeightBudget:
    return WeightBudget(2000, 200)


async def test_a_chinese_symbol_arrives_percent_encoded(venue: Venue, fapi: Fapi) -> None:
    """Raw UTF-8 in a query may fail; five such contracts are among the most traded."""
    oi = await fapi.open_interest(CHINESE)

    assert oi.symbol == CHINESE
    assert venue.raw_queries == ["symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"]


async def test_the_limit_is_the_one_the_exchange_tells(venue: Venue, fapi: Fapi, budget: WeightBudget) -> None:
    venue.limit = 1200

    info = await fapi.exchange_info(pytest.fail)

    assert set(info.listings) == {BTC, CHINESE}
    assert budget.budget(0) == 1000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (DELISTED, Rejected),
        ((429, TOO_MANY, {"Retry-After": "7"}), RateLimited),
        ((200, '{"symbol":"BTCUSDT","openInterest":"-1","time":1}', {}), WireError),
    ],
)
async def test_each_answer_is_its_own_error_and_its_count_is_believed(
    venue: Venue, fapi: Fapi, budget: WeightBudget, answer: tuple[int, str, dict[str, str]], error: type[Exception]
) -> None:
    """A refused request costs weight like any other."""
    venue.used[venue.clock.now_ms() // 60_000] = 500
    venue.always = answer

    with pytest.raises(error) as raised:
        await fapi.open_interest(BTC)

    assert type(raised.value) is error
    assert budget.used(monotonic_ms(venue.clock)) == 501


async def test_a_hang_is_a_timeout_and_stays_counted(venue: Venue, fapi: Fapi, budget: WeightBudget) -> None:
    venue.delay_s[BTC] = 60.0
    fapi.exchange.timeout_s = 0.3

    with pytest.raises(Transient) as raised:
        await fapi.open_interest(BTC)

    assert isinstance(raised.value.__cause__, TimeoutError)
    assert budget.used(monotonic_ms(venue.clock)) == 1


async def test_no_request_waits_for_a_connection(venue: Venue, fapi: Fapi) -> None:
    """One that did would reach the exchange long after it was found to be allowed: after a ban was told, too."""
    venue.delay_s[BTC] = 60.0
    sweep = [asyncio.create_task(fapi.open_interest(BTC)) for _ in range(IN_FLIGHT)]
    await eventually(lambda: venue.under_way == IN_FLIGHT)

    assert (await fapi.exchange_info(pytest.fail)).listings.keys() == {BTC, CHINESE}
    assert venue.under_way == IN_FLIGHT
    for asking in sweep:
        asking.cancel()
    await asyncio.gather(*sweep, return_exceptions=True)


@pytest.mark.parametrize("status", [429, 418])
async def test_nothing_is_sent_nor_spent_while_told_to_wait(
    venue: Venue, fapi: Fapi, budget: WeightBudget, status: int
) -> None:
    venue.always = (status, TOO_MANY, {"Retry-After": "7"})
    with pytest.raises(RateLimited):
        await fapi.open_interest(BTC)
    venue.always = None

    for call in (lambda: fapi.open_interest(BTC), lambda: fapi.exchange_info(pytest.fail)):
        with pytest.raises(RateLimited) as raised:
            await call()
        assert isinstance(raised.value, Banned) is (status == 418)
    assert venue.requests == 1
    assert budget.used(monotonic_ms(venue.clock)) == 1
