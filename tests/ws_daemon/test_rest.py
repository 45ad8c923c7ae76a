"""What the stream cannot give, from a loopback exchange: volumes at the start, marks while every stream is mute."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.rest import RESEED_S, Rest
from services.ws_daemon.settings import Settings
from shared import http
from shared.ban import Ban
from shared.clock import Clock, SystemClock
from shared.model import Member
from shared.settings import load
from shared.store import UNIVERSE, round_trip
from shared.venues.binance.rest import Exchange
from tests.builders import NOW_MS
from tests.fakes import FakeClock, at_work, service
from tests.served import served
from tests.shared.venues.binance.rows import frame, mark_row, mini_row
from tests.waiting import eventually

PREMIUM = [{"symbol": "BTCUSDT", "markPrice": "93041.35", "time": NOW_MS}]
TICKERS = [{"symbol": "QUIETUSDT", "quoteVolume": "77.5", "closeTime": NOW_MS}]


class Bench:
    def __init__(self, rest: Rest, feed: Feed, facts: dict[str, str]) -> None:
        self.rest, self.feed, self.latest, self.facts = rest, feed, feed.latest, facts
        self.asked: list[str] = []


@asynccontextmanager
async def bench(
    redis: Redis, answer: Callable[[str, int], web.Response], clock: Clock | None = None
) -> AsyncIterator[Bench]:
    """``answer`` gets the path and how many requests came before."""
    it: Bench

    async def handle(request: web.Request) -> web.Response:
        it.asked.append(request.path)
        return answer(request.path, len(it.asked) - 1)

    it_works = service(clock or SystemClock(), redis)
    metrics, ban = Metrics(CollectorRegistry()), Ban(redis, it_works.clock)
    async with served(web.get("/{path:.*}", handle)) as origin, http.client(2) as client:
        environ = {"BINANCE_REST_URL": origin, "BINANCE_WS_IDLE_SEC": "0.2", "BINANCE_REST_FALLBACK_SEC": "0.2"}
        settings = load(Settings, environ)
        feed = Feed(settings, it_works, metrics)
        exchange = Exchange(origin, http.getting(client), ban, it_works.clock)
        it = Bench(Rest(settings, it_works, exchange, ban, feed, metrics), feed, it_works.facts)
        yield it


async def test_quiet_symbols_get_their_volume_at_the_start(redis: Redis) -> None:
    async with bench(redis, lambda path, n: web.json_response(TICKERS)) as it:
        await it.rest.look_at_volumes()

    assert it.asked == ["/fapi/v1/ticker/24hr"]
    assert str(it.latest.volumes["QUIETUSDT"].quote_volume) == "77.5"


@pytest.mark.parametrize(("into_s", "polled", "wait_s"), [(29, True, 0), (50, True, 10), (50, False, 0)])
async def test_all_volumes_are_asked_for_where_a_minute_has_room(
    redis: Redis, clock: FakeClock, into_s: int, polled: bool, wait_s: int
) -> None:
    """Alone on its address oi_poller leaves 13 of 2,400 at a minute's end: 40 more were a 429 for the whole house."""
    if polled:
        async with round_trip(redis) as pipe:
            UNIVERSE.put(pipe, {"BTCUSDT": Member("BTCUSDT", Decimal(5_000_000), NOW_MS, NOW_MS, 1)})
    clock.advance(s=into_s)
    async with bench(redis, lambda path, n: web.json_response(TICKERS), clock) as it:
        waits_s = await it.rest.look_at_volumes()

        assert len(it.asked) == (0 if wait_s else 1)
        if wait_s:
            assert waits_s == wait_s
            clock.advance(s=waits_s)
            await it.rest.look_at_volumes()
            assert it.asked == ["/fapi/v1/ticker/24hr"]


async def test_volumes_are_asked_for_again_while_the_stream_brings_none(redis: Redis, clock: FakeClock) -> None:
    """Half of the stream may go silent: marks flow, and the universe would stand still with nobody told."""
    async with bench(redis, lambda path, n: web.json_response(TICKERS), clock) as it:
        it.feed.take_stream("stream-1", frame(mini_row()))
        for _ in range(2):  # the second look finds volumes younger than the limit
            await it.rest.look_at_volumes()
        assert (len(it.asked), it.facts["volumes"]) == (1, "stream")

        clock.advance(s=it.feed.volumes_idle_s + 0.1)
        it.feed.take_stream("stream-1", frame(mark_row()))
        await it.rest.look_at_volumes()
        assert (len(it.asked), it.facts["volumes"]) == (1, "ticker24h")
        clock.advance(s=RESEED_S)
        for _ in range(2):
            await it.rest.look_at_volumes()
        assert len(it.asked) == 2

        it.feed.take_stream("stream-2", frame(mini_row(event_ms=NOW_MS + 1)))
        await it.rest.look_at_volumes()
        assert (len(it.asked), it.facts["volumes"]) == (2, "stream")


async def test_a_seed_that_fails_is_asked_for_again(redis: Redis, clock: FakeClock) -> None:
    def answer(path: str, n: int) -> web.Response:
        return web.Response(status=503) if n == 0 else web.json_response(TICKERS)

    async with bench(redis, answer, clock) as it:
        assert 1 <= await it.rest.look_at_volumes() <= 2
        await it.rest.look_at_volumes()

    assert set(it.latest.volumes) == {"QUIETUSDT"}


async def test_marks_come_from_premium_index_while_streams_are_mute(redis: Redis) -> None:
    async with bench(redis, lambda path, n: web.json_response(PREMIUM)) as it, at_work(it.rest.stand_in()):
        await eventually(lambda: "BTCUSDT" in it.latest.marks)
        assert it.facts["source"] == "premiumIndex"
        asked = len(it.asked)

        def stream_is_back() -> bool:
            it.feed.take_stream("stream-1", frame(mark_row(event_ms=NOW_MS + 1)))
            return it.facts["source"] == "stream"

        await eventually(stream_is_back)
        assert set(it.asked) == {"/fapi/v1/premiumIndex"}
        assert len(it.asked) <= asked + 1


async def test_nothing_is_asked_during_a_ban(redis: Redis) -> None:
    """The ban stands in Redis: another service was told, and this one obeys."""
    await redis.set("oi:ban", str(SystemClock().now_ms() + 60_000))
    async with bench(redis, lambda path, n: web.json_response(PREMIUM)) as it, at_work(it.rest.stand_in()):
        await eventually(lambda: it.facts.get("source") == "premiumIndex")
        await eventually(lambda: it.rest.ban.remaining_s() > 50)
        assert it.asked == []


@pytest.mark.parametrize(
    "bad",
    [
        web.Response(text="<html>blocked</html>", status=403, content_type="text/html"),
        web.Response(text="<html>hello</html>", content_type="text/html"),
        web.json_response({"code": -1016, "msg": "Service is under maintenance."}, status=400),
        web.json_response({"unexpected": []}),
    ],
    ids=["403-html", "200-html", "maintenance", "not-a-list"],
)
async def test_a_bad_answer_is_survived(redis: Redis, bad: web.Response) -> None:
    """One body that makes no sense costs one request, not the process."""
    body, status, kind = bad.body, bad.status, bad.content_type

    def answer(path: str, n: int) -> web.Response:
        return web.Response(body=body, status=status, content_type=kind) if n == 0 else web.json_response(PREMIUM)

    async with bench(redis, answer) as it, at_work(it.rest.stand_in()):
        await eventually(lambda: "BTCUSDT" in it.latest.marks)
        assert len(it.asked) == 2
