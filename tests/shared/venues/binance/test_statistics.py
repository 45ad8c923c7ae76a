"""The one limit of an address for openInterestHist, counted by all who ask."""

from __future__ import annotations

import httpx
import pytest
from redis.asyncio import Redis

from shared.ban import Ban
from shared.errors import Banned, RateLimited
from shared.venues.binance.statistics import MOST, Quota, Statistics
from tests.fakes import FakeClock, service


async def taken(quota: Quota, most: int) -> int:
    """How many of so many were let by."""
    for count in range(most):
        try:
            await quota.take()
        except RateLimited:
            return count
    return most


async def spent(redis: Redis, clock: FakeClock, requests: int) -> None:
    await redis.set(f"oi:statistics:{clock.now_ms() // 60_000}", requests)


async def test_two_services_share_what_the_address_may_send(redis: Redis, clock: FakeClock) -> None:
    alerter, keeper = Quota(redis, clock, ""), Quota(redis, clock, "")
    await spent(redis, clock, MOST - 5)

    assert await taken(alerter, 3) == 3
    assert await taken(keeper, 9) == 2
    assert await taken(alerter, 1) == 0


async def test_a_minute_counts_until_five_have_passed_since_and_what_was_refused_does_not(
    redis: Redis, clock: FakeClock
) -> None:
    quota = Quota(redis, clock, "")
    await spent(redis, clock, MOST)
    for _ in range(6):
        assert await taken(quota, 1) == 0
        clock.advance(s=59)
    clock.advance(s=7)

    assert await taken(quota, 2) == 2
    this = f"oi:statistics:{clock.now_ms() // 60_000}"
    assert await redis.get(this) == b"2"
    assert 0 < await redis.pttl(this) <= 360_000


async def test_another_way_to_the_exchange_has_a_limit_of_its_own(redis: Redis, clock: FakeClock) -> None:
    through = Ban(redis, clock, "proxy.example:3128")
    await spent(redis, clock, MOST)

    assert await taken(Quota(redis, clock, Ban(redis, clock).address), 1) == 0
    assert await taken(Quota(redis, clock, through.address), 1) == 1


async def test_neither_a_ban_nor_a_spent_limit_lets_a_request_out(redis: Redis, clock: FakeClock) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=[])

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        statistics = Statistics("http://e.example", client, Ban(redis, clock), service(clock, redis))
        assert await statistics.ask("龙虾USDT", "1h", 168) == b"[]"
        await spent(redis, clock, MOST)
        with pytest.raises(RateLimited, match="900 requests in five minutes"):
            await statistics.ask("BTCUSDT", "1h", 168)
        await Ban(redis, clock).record(Banned("told another service", 60, clock.now_ms() + 60_000))
        with pytest.raises(Banned):
            await statistics.ask("BTCUSDT", "1h", 168)

    assert [dict(request.url.params) for request in sent] == [{"symbol": "龙虾USDT", "period": "1h", "limit": "168"}]
