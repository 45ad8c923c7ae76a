"""The manners of a guest: what is sent, and what is not sent any more after an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from shared import http
from shared.ban import MARGIN_S, Ban
from shared.errors import Banned, RateLimited, Rejected, Transient
from shared.venues.binance.answers import used_weight
from shared.venues.binance.rest import Exchange
from tests.fakes import FakeClock
from tests.shared.venues.binance.test_answers import OPEN_INTEREST, TOO_MANY, banned_until


class Venue:
    """A loopback exchange that answers as it is told and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = web.Response

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        return self.answer()

    def says(self, status: int, body: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda: web.Response(status=status, body=body, headers=named)  # type: ignore[assignment]


@pytest.fixture
async def venue() -> Venue:
    return Venue()


@pytest.fixture
async def exchange(venue: Venue, redis: Redis, clock: FakeClock) -> AsyncIterator[Exchange]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    async with TestServer(app) as server, http.client(connections=2) as client:
        yield Exchange(str(server.make_url("")), http.getting(client), Ban(redis, clock), clock, timeout_s=5)


async def test_a_good_answer_is_handed_over_as_it_came(exchange: Exchange, venue: Venue) -> None:
    venue.says(200, OPEN_INTEREST, x_mbx_used_weight_1m="17")
    heard: list[int | None] = []

    body = await exchange.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, lambda r: heard.append(used_weight(r)))

    assert body == OPEN_INTEREST
    assert venue.asked == ["/fapi/v1/openInterest?symbol=BTCUSDT"]
    assert heard == [17]


async def test_nothing_is_sent_during_a_ban(exchange: Exchange, venue: Venue, clock: FakeClock, redis: Redis) -> None:
    """Each request during a ban makes it longer, up to three days."""
    venue.says(418, banned_until(clock.now_ms() + 300_000), retry_after="300")
    with pytest.raises(Banned):
        await exchange.get("/fapi/v1/time")
    venue.says(200, OPEN_INTEREST)
    assert await redis.get("oi:ban") == str(clock.now_ms() + 301_000).encode()

    for waited_s in (0, 150, 150 + MARGIN_S - 0.1):
        clock.advance(waited_s)
        with pytest.raises(Banned) as refused:
            await exchange.get("/fapi/v1/time")
    assert refused.value.retry_after_s == pytest.approx(0.1)
    assert len(venue.asked) == 1

    clock.advance(0.1)
    assert await exchange.get("/fapi/v1/time") == OPEN_INTEREST
    assert len(venue.asked) == 2


async def test_a_429_silences_every_request_until_retry_after(
    exchange: Exchange, venue: Venue, clock: FakeClock, redis: Redis
) -> None:
    """And the word is left in Redis, where the other services on this address find it."""
    venue.says(429, TOO_MANY, retry_after="30")
    with pytest.raises(RateLimited):
        await exchange.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"})
    venue.says(200, OPEN_INTEREST)

    with pytest.raises(RateLimited) as refused:
        await exchange.get("/fapi/v1/openInterest", {"symbol": "ETHUSDT"})
    assert not isinstance(refused.value, Banned)
    assert refused.value.retry_after_s == 30 + MARGIN_S
    assert len(venue.asked) == 1
    assert await redis.get("oi:ban") == str(clock.now_ms() + 31_000).encode()

    clock.advance(30 + MARGIN_S)
    assert await exchange.get("/fapi/v1/openInterest", {"symbol": "ETHUSDT"}) == OPEN_INTEREST


async def test_a_refusal_too_is_heard_before_it_is_judged(exchange: Exchange, venue: Venue) -> None:
    """A 400 costs weight like any answer; a count that skips refusals runs into the limit."""
    venue.says(400, b'{"code":-1121,"msg":"Invalid symbol."}', x_mbx_used_weight_1m="2399")
    heard: list[int | None] = []

    with pytest.raises(Rejected):
        await exchange.get("/fapi/v1/openInterest", {"symbol": "NOPE"}, lambda r: heard.append(used_weight(r)))

    assert heard == [2399]


async def test_one_failed_symbol_does_not_silence_the_others(exchange: Exchange, venue: Venue, redis: Redis) -> None:
    venue.says(400, b'{"code":-1121,"msg":"Invalid symbol."}')
    with pytest.raises(Rejected):
        await exchange.get("/fapi/v1/openInterest", {"symbol": "NOPE"})
    venue.says(503, b"Service Unavailable.")
    with pytest.raises(Transient):
        await exchange.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"})
    venue.says(200, OPEN_INTEREST)

    assert await exchange.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"}) == OPEN_INTEREST
    assert await redis.get("oi:ban") is None
