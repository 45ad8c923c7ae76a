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
from shared.model import Member
from shared.settings import load
from shared.store import UNIVERSE, round_trip
from shared.venues.binance.rest import PREMIUM_INDEX, TICKER_24H, Exchange
from tests.builders import NOW_MS
from tests.fakes import FakeClock, service
from tests.served import served
from tests.shared.venues.binance.rows import frame, mark_row, mini_row

PREMIUM = [{"symbol": "BTCUSDT", "markPrice": "93041.35", "time": NOW_MS}]
TICKERS = [{"symbol": "QUIETUSDT", "quoteVolume": "77.5", "closeTime": NOW_MS}]
BODIES = {PREMIUM_INDEX: PREMIUM, TICKER_24H: TICKERS}
IDLE_S, FALLBACK_S = 5.0, 3.0


class Bench:
    def __init__(self, rest: Rest, feed: Feed, facts: dict[str, str]) -> None:
        self.rest, self.feed, self.latest, self.facts = rest, feed, feed.latest, facts
        self.asked: list[str] = []


Answer = Callable[[str, int], web.Response]


@asynccontextmanager
async def bench(
    redis: Redis, clock: FakeClock, answer: Answer = lambda path, n: web.json_response(BODIES[path])
) -> AsyncIterator[Bench]:
    """``answer`` gets the path and how many requests came before."""
    it: Bench

    async def handle(request: web.Request) -> web.Response:
        it.asked.append(request.path)
        return answer(request.path, len(it.asked) - 1)

    works = service(clock, redis)
    metrics, ban = Metrics(CollectorRegistry()), Ban(redis, clock)
    async with served(web.get("/{path:.*}", handle)) as origin, http.client(2) as client:
        environ = {"BINANCE_WS_IDLE_SEC": str(IDLE_S), "BINANCE_REST_FALLBACK_SEC": str(FALLBACK_S)}
        settings = load(Settings, environ)
        feed = Feed(settings, works, metrics)
        exchange = Exchange(origin, http.getting(client), ban, clock)
        it = Bench(Rest(settings, works, exchange, ban, feed, metrics), feed, works.facts)
        yield it


async def put_universe(redis: Redis) -> None:
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {"BTCUSDT": Member("BTCUSDT", Decimal(5_000_000), NOW_MS, NOW_MS, 1)})


async def test_quiet_symbols_get_their_volume_at_the_start(redis: Redis, clock: FakeClock) -> None:
    async with bench(redis, clock) as it:
        await it.rest.look_at_volumes()

    assert it.asked == [TICKER_24H]
    assert str(it.latest.volumes["QUIETUSDT"].quote_volume) == "77.5"


@pytest.mark.parametrize(("into_s", "polled", "wait_s"), [(29, True, 0), (50, True, 10), (50, False, 0)])
async def test_all_volumes_are_asked_for_where_a_minute_has_room(
    redis: Redis, clock: FakeClock, into_s: int, polled: bool, wait_s: int
) -> None:
    """Alone on its address oi_poller leaves 13 of 2,400 at a minute's end: 40 more were a 429 for the whole house."""
    if polled:
        await put_universe(redis)
    clock.advance(s=into_s)
    async with bench(redis, clock) as it:
        waits_s = await it.rest.look_at_volumes()

        assert len(it.asked) == (0 if wait_s else 1)
        if wait_s:
            assert waits_s == wait_s
            clock.advance(s=waits_s)
            await it.rest.look_at_volumes()
            assert it.asked == [TICKER_24H]


async def test_volumes_are_asked_for_again_while_the_stream_brings_none(redis: Redis, clock: FakeClock) -> None:
    """Half of the stream may go silent: marks flow, and the universe would stand still with nobody told."""
    async with bench(redis, clock) as it:
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


async def test_at_the_start_the_streams_are_waited_for(redis: Redis, clock: FakeClock) -> None:
    async with bench(redis, clock) as it:
        assert await it.rest.look_at_marks() == IDLE_S / 4
        clock.advance(s=IDLE_S)
        assert await it.rest.look_at_marks() == IDLE_S / 4
        assert it.asked == []
        clock.advance(s=0.1)
        await it.rest.look_at_marks()
        assert it.asked == [PREMIUM_INDEX]


@pytest.mark.parametrize("goes_on", ["nothing", "the same", "one of three"])
async def test_marks_come_from_premium_index_while_streams_do_not_bring_most_of_them(
    redis: Redis, clock: FakeClock, goes_on: str
) -> None:
    """A stuck edge repeats its last frame, or one of two frames comes no more: that is no feed, though frames come."""
    three = ["ETHUSDT", "SOLUSDT", "XAUUSDT"]

    def frame_of(symbols: list[str], second: int) -> bytes:
        return frame(*(mark_row(symbol, event_ms=NOW_MS + 1000 * second) for symbol in symbols))

    async with bench(redis, clock) as it:
        for second in range(18):
            sent = {"nothing": frame(), "the same": frame_of(three, 5), "one of three": frame_of(three[2:], second)}
            for source in ("stream-1", "stream-2"):
                it.feed.take_stream(source, frame_of(three, second) if second <= 5 else sent[goes_on])
            waits_s = await it.rest.look_at_marks()
            assert second > 5 or waits_s == IDLE_S / 4
            clock.advance(s=1)
        assert (waits_s, it.facts["source"], set(it.asked)) == (FALLBACK_S, "premiumIndex", {PREMIUM_INDEX})
        assert set(it.latest.marks) == {"BTCUSDT", *three}
        asked = len(it.asked)

        it.feed.take_stream("stream-1", frame_of(three, 20))
        await it.rest.look_at_marks()
        assert (it.facts["source"], len(it.asked)) == ("stream", asked)


@pytest.mark.parametrize(("into_s", "polled", "waits_s"), [(49, True, [3, 3]), (52, True, [8, 3]), (52, False, [3, 3])])
async def test_late_in_a_minute_premium_index_is_asked_once_before_anybody_can_have_made_room(
    redis: Redis, clock: FakeClock, into_s: int, polled: bool, waits_s: list[int]
) -> None:
    """Alone on its address oi_poller leaves 13 of 2,400: the second of weight 10 was a 429 for the whole house."""
    if polled:
        await put_universe(redis)
    async with bench(redis, clock) as it:
        clock.advance(s=into_s)
        looks: list[float] = []
        for _ in waits_s:
            looks.append(await it.rest.look_at_marks())
            clock.advance(s=looks[-1])

    assert (looks, len(it.asked)) == (waits_s, len(waits_s))


async def test_streams_that_deliver_again_are_said_to_before_a_long_ban_ends(redis: Redis, clock: FakeClock) -> None:
    """`oi status` told of marks by premiumIndex until its end, three days at most."""
    await redis.set("oi:ban", str(clock.now_ms() + 3_600_000))
    async with bench(redis, clock) as it:
        clock.advance(s=IDLE_S + 1)
        clock.advance(s=await it.rest.look_at_marks())
        assert it.facts["source"] == "premiumIndex"
        assert clock.now_ms() < NOW_MS + 70_000
        it.feed.take_stream("stream-1", frame(mark_row()))
        await it.rest.look_at_marks()

        assert (it.facts["source"], it.asked) == ("stream", [])


async def test_nothing_is_asked_during_a_ban(redis: Redis, clock: FakeClock) -> None:
    """The ban stands in Redis: another service was told, and this one obeys."""
    await redis.set("oi:ban", str(clock.now_ms() + 60_000))
    async with bench(redis, clock) as it:
        clock.advance(s=IDLE_S + 1)
        for look in (it.rest.look_at_marks, it.rest.look_at_volumes):
            assert await look() == 60 - IDLE_S - 1

        assert (it.facts["source"], it.asked) == ("premiumIndex", [])


@pytest.mark.parametrize(
    "bad",
    [
        web.Response(text="<html>blocked</html>", status=403, content_type="text/html"),
        web.Response(text="<html>hello</html>", content_type="text/html"),
        web.json_response({"code": -1016, "msg": "Service is under maintenance."}, status=400),
        web.json_response({"unexpected": []}),
        web.Response(status=503),
    ],
    ids=["403-html", "200-html", "maintenance", "not-a-list", "503"],
)
async def test_a_bad_answer_is_survived(redis: Redis, clock: FakeClock, bad: web.Response) -> None:
    """One body that makes no sense costs one request, not the process; it is asked for again soon."""
    body, status, kind = bad.body, bad.status, bad.content_type

    def answer(path: str, n: int) -> web.Response:
        return (
            web.Response(body=body, status=status, content_type=kind) if n % 2 == 0 else web.json_response(BODIES[path])
        )

    async with bench(redis, clock, answer) as it:
        clock.advance(s=IDLE_S + 1)
        for look, most_s in ((it.rest.look_at_marks, FALLBACK_S), (it.rest.look_at_volumes, 2.0)):
            assert most_s / 2 <= await look() <= most_s
            await look()

    assert (set(it.latest.marks), set(it.latest.volumes), len(it.asked)) == ({"BTCUSDT"}, {"QUIETUSDT"}, 4)
