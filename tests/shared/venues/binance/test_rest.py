"""The manners of a guest: what is sent, and what is not sent any more after an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from redis.asyncio import Redis

from shared import http
from shared.ban import MARGIN_S, Ban
from shared.errors import Banned, RateLimited, Rejected, Transient
from shared.venues.binance.answers import used_weight
from shared.venues.binance.rest import Exchange
from tests.fakes import FakeClock
from tests.served import served
from tests.shared.venues.binance.test_answers import OPEN_INTEREST, TOO_MANY, banned_until


class Venue:
    """A loopback exchange that answers as it is told and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: tuple[int, bytes, dict[str, str]] = (200, OPEN_INTEREST, {})

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        status, body, headers = self.says
        return web.Response(status=status, body=body, headers=headers)


@pytest.fixture
async def venue() -> Venue:
    return Venue()


@pytest.fixture
async def exchange(venue: Venue, redis: Redis, clock: FakeClock) -> AsyncIterator[Exchange]:
    async with served(web.get("/{path:.*}", venue.handle)) as origin, http.client(connections=2) as client:
        yield Exchange(origin, http.getting(client), Ban(redis, clock), clock, timeout_s=5)


@pytest.mark.parametrize(
    ("status", "body", "error"), [(418, banned_until(1_764_720_300_000), Banned), (429, TOO_MANY, RateLimited)]
)
async def test_nothing_is_sent_until_the_end_that_was_told(
    exchange: Exchange, venue: Venue, clock: FakeClock, redis: Redis, status: int, body: bytes, error: type[Exception]
) -> None:
    """Each request during a ban makes it longer, up to three days, and going on after a 429 makes a ban.

    The word is left in Redis, where the other services on this address find it.
    """
    venue.says = (status, body, {"Retry-After": "300"})
    with pytest.raises(error):
        await exchange.get("/fapi/v1/time")
    venue.says = (200, OPEN_INTEREST, {})
    assert await redis.get("oi:ban") == str(clock.now_ms() + 301_000).encode()

    for waited_s in (0, 150, 150 + MARGIN_S - 0.1):
        clock.advance(waited_s)
        with pytest.raises(RateLimited) as refused:
            await exchange.get("/fapi/v1/openInterest", {"symbol": "ETHUSDT"})
        assert type(refused.value) is error
    assert refused.value.retry_after_s == pytest.approx(0.1)
    assert len(venue.asked) == 1

    clock.advance(0.1)
    assert await exchange.get("/fapi/v1/time") == OPEN_INTEREST
    assert len(venue.asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(400, b'{"code":-1121,"msg":"Invalid symbol."}', Rejected), (503, b"Service Unavailable.", Transient)],
)
async def test_a_refusal_is_counted_as_any_answer_and_silences_nobody(
    exchange: Exchange, venue: Venue, redis: Redis, status: int, body: bytes, error: type[Exception]
) -> None:
    """A 400 costs weight like any answer; a count that skips refusals runs into the limit."""
    venue.says = (status, body, {"X-MBX-Used-Weight-1m": "2399"})
    heard: list[int | None] = []

    with pytest.raises(error):
        await exchange.get("/fapi/v1/openInterest", {"symbol": "NOPE"}, lambda r: heard.append(used_weight(r)))
    venue.says = (200, OPEN_INTEREST, {})

    assert heard == [2399]
    assert await exchange.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}) == OPEN_INTEREST
    assert venue.asked == [f"/fapi/v1/openInterest?symbol={symbol}" for symbol in ("NOPE", "BTCUSDT")]
    assert await redis.get("oi:ban") is None
