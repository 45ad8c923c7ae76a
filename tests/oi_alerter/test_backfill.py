"""The past of symbols that have none: asked for once, gently, and never while the exchange wants peace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.oi_alerter import backfill
from services.oi_alerter.backfill import Backfill
from services.oi_alerter.detector import history_for
from services.oi_alerter.history import Sample
from services.oi_alerter.memory import Memory
from services.oi_alerter.metrics import Metrics
from services.oi_alerter.settings import Settings
from shared import http
from shared.ban import Ban
from shared.clock import SystemClock
from shared.history.block import Row
from shared.lately import encode_rows
from shared.settings import load
from shared.venues.binance.statistics import Statistics
from tests.fakes import FakeClock, sample, service
from tests.oi_alerter.conftest import Book, Start, told
from tests.served import served
from tests.waiting import eventually

FIVE_MIN_MS = 300_000
TOO_MANY = '{"code":-1003,"msg":"Too many requests."}'


class Past:
    """A loopback exchange with one route; ``answers`` are given first, in order."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.asked: list[tuple[str, int]] = []
        self.queries: list[dict[str, str]] = []
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.levels: dict[str, str] = {}
        self.origin = ""

    async def handle(self, request: web.Request) -> web.Response:
        now_ms, symbol = self.now_ms(), request.query["symbol"]
        self.asked.append((symbol, now_ms))
        self.queries.append(dict(request.query))
        if self.answers:
            status, text, headers = self.answers.pop(0)
            return web.Response(status=status, text=text, headers=headers, content_type="application/json")
        last = now_ms // FIVE_MIN_MS * FIVE_MIN_MS
        times = range(last - 13 * FIVE_MIN_MS, last + 1, FIVE_MIN_MS)
        level = self.levels.get(symbol, "1000000.00000000")
        rows = [{"symbol": symbol, "sumOpenInterest": level, "timestamp": at_ms} for at_ms in times]
        return web.json_response(rows)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Past]:
        async with served(web.get("/futures/data/openInterestHist", self.handle)) as self.origin:
            yield self


class Bench:
    """A `Backfill` at work on symbols just seen for the first time; its clock is steered by its own waiting."""

    def __init__(self, redis: Redis, clock: FakeClock, past: Past, client: Any) -> None:
        frames = load(Settings, {}).frames
        self.history = history_for(frames)
        self.metrics = Metrics(CollectorRegistry(), frames)
        self.ready = asyncio.Event()
        self.ready.set()
        self.clock = clock
        one = service(clock, redis)
        statistics = Statistics(past.origin, client, Ban(redis, clock), one)
        self.backfill = Backfill(one, statistics, Memory(redis), self.history, self.ready, self.metrics)

    def asked(self) -> set[str]:
        return {symbol for symbol, series in self.history.series.items() if series.asked}

    def see(self, *symbols: str) -> None:
        for symbol in symbols:
            self.history.add(symbol, Sample(self.clock.now_ms(), 1_000_000.0, None))

    async def until(self, condition: Callable[[], object]) -> None:
        job = asyncio.create_task(self.backfill.keep())
        await eventually(condition)
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job


@pytest.fixture
async def past(clock: FakeClock) -> AsyncIterator[Past]:
    async with Past(clock.now_ms).serving() as past:
        yield past


@pytest.fixture
async def bench(redis: Redis, clock: FakeClock, past: Past) -> AsyncIterator[Bench]:
    async with http.client(connections=1) as client:
        yield Bench(redis, clock, past, client)


async def test_each_symbol_without_a_history_is_asked_for_once_at_most_two_a_second(bench: Bench, past: Past) -> None:
    """What was told reaches back as far as the longest look."""
    for _ in range(400):
        bench.see("OLDUSDT")
        bench.clock.advance(s=10)
    bench.see("OLDUSDT", "AUSDT", "BUSDT", "币安人生USDT")
    await bench.until(lambda: len(past.asked) == 3 and bench.clock.now_ms() > past.asked[-1][1] + 60_000)

    assert sorted(symbol for symbol, _ in past.asked) == ["AUSDT", "BUSDT", "币安人生USDT"]
    times = [at_ms for _, at_ms in past.asked]
    assert all(later - earlier >= 500 for earlier, later in pairwise(times))
    assert past.queries[0] == {"symbol": "AUSDT", "period": "5m", "limit": "14"}
    series = bench.history.series["AUSDT"]
    assert 3_400_000 < series.span_ms <= bench.history.horizon_ms
    assert series.nearest(series.newest_ms - 3_600_000, FIVE_MIN_MS, series.newest_ms) is not None


async def test_a_clock_set_back_begins_a_new_history_and_asks_for_its_past(bench: Bench, past: Past) -> None:
    """As by NTP soon after a boot: baselines stamped by two clocks would be of other moments than they say."""
    begun_ms = bench.clock.now_ms()
    bench.see("AUSDT")
    await bench.until(bench.asked)
    waited_s = (bench.clock.now_ms() - begun_ms) / 1000  # the clock ran on until the answer was there
    bench.clock.set_wall(by_s=-300 - waited_s)
    bench.see("AUSDT")
    await bench.until(lambda: bench.history.series["AUSDT"].span_ms)  # not only asked: told
    assert len(past.asked) == 2

    series = bench.history.series["AUSDT"]
    assert 3_400_000 < series.span_ms <= bench.history.horizon_ms
    assert series.newest_ms <= bench.clock.now_ms()


async def test_during_a_ban_nothing_is_sent(bench: Bench, past: Past, redis: Redis) -> None:
    """Told to another service; a request now would make it longer."""
    until_ms = bench.clock.now_ms() + 200_000
    await redis.set("oi:ban", until_ms)
    bench.see("AUSDT")
    await bench.until(lambda: past.asked)

    assert past.asked[0][1] >= until_ms


@pytest.mark.parametrize(
    ("answer", "least_s", "banned"),
    [
        ((418, TOO_MANY, {"Retry-After": "120"}), 120, True),
        ((429, TOO_MANY, {"Retry-After": "90"}), 90, False),
        ((503, "busy", {}), 1, False),
        ((403, "<html>Request blocked.", {}), 1, False),
        ((451, "{}", {}), 1, False),
    ],
)
async def test_what_hits_everyone_is_tried_again_later(
    bench: Bench, past: Past, redis: Redis, answer: Any, least_s: int, banned: bool
) -> None:
    """A ban is everybody's. A 429 is about this route: the poller's sweeps must not pause for it."""
    start_ms = bench.clock.now_ms()
    past.answers = [answer, answer]
    bench.see("AUSDT")
    await bench.until(bench.asked)

    times = [at_ms for _, at_ms in past.asked]
    assert len(times) == 3
    assert all(later - earlier >= least_s * 1000 for earlier, later in pairwise(times))
    assert int(await redis.get("oi:ban") or 0) >= (start_ms + 120_000 if banned else 0)
    assert bool(await redis.exists("oi:ban")) is banned


@pytest.mark.parametrize(
    "answer",
    [
        (400, '{"code":-1121,"msg":"Invalid symbol."}', {}),
        (200, "<html>", {}),
        (200, '[{"symbol":"AUSDT","sumOpenInterest":"NaN","timestamp":1}]', {}),
    ],
)
async def test_one_symbol_without_an_answer_costs_only_itself(bench: Bench, past: Past, answer: Any) -> None:
    past.answers = [answer]
    bench.see("AUSDT", "BUSDT")
    await bench.until(lambda: bench.asked() == {"AUSDT", "BUSDT"})
    assert [symbol for symbol, _ in past.asked] == ["AUSDT", "BUSDT"]
    assert bench.history.series["AUSDT"].span_ms == 0
    assert bench.history.series["BUSDT"].span_ms > 3_400_000
    assert bench.metrics.warmed.labels("failed")._value.get() == 1


def kept(clock: FakeClock, minutes: int, behind_s: float = 60.0) -> bytes:
    """As the keeper tells it: one row a minute."""
    newest_ms = clock.now_ms() - round(behind_s * 1000)
    return encode_rows(Row(newest_ms - n * 60_000, f"{1000 + n}.5", "2.0") for n in reversed(range(minutes)))


async def test_what_the_keeper_has_is_asked_of_nobody(bench: Bench, past: Past, redis: Redis) -> None:
    """With the mark prices, which the exchange does not tell."""
    await redis.hset("oi:past", mapping={"AUSDT": kept(bench.clock, 70), "BUSDT": kept(bench.clock, 70)})
    bench.see("AUSDT", "BUSDT", "CUSDT")
    await bench.until(lambda: past.asked)

    assert {symbol for symbol, _ in past.asked} == {"CUSDT"}
    series = bench.history.series["AUSDT"]
    baseline = series.nearest(series.newest_ms - 3_600_000, 60_000, series.newest_ms)
    assert baseline is not None
    assert baseline.mark_price == 2.0
    assert baseline.open_interest == 1059.5


@pytest.mark.parametrize("told", ["too short", "too old", "unreadable"])
async def test_what_the_keeper_has_not_is_asked_of_the_exchange(
    bench: Bench, past: Past, redis: Redis, told: str
) -> None:
    rows = {"too short": kept(bench.clock, 20), "too old": kept(bench.clock, 70, 3600), "unreadable": b'[["x"]]'}
    await redis.hset("oi:past", "AUSDT", rows[told])
    bench.see("AUSDT")
    await bench.until(lambda: past.asked)

    assert [symbol for symbol, _ in past.asked] == ["AUSDT"]


async def test_a_history_begun_anew_while_redis_is_asked_ends_nothing(bench: Bench, past: Past, redis: Redis) -> None:
    """The other loop drops what it has after any fault of Redis, and symbols that left."""
    await redis.hset("oi:past", "AUSDT", kept(bench.clock, 70))
    ask = bench.backfill.memory.kept

    async def meanwhile(symbol: str) -> bytes | None:
        rows = await ask(symbol)
        if symbol == "AUSDT":
            bench.history.series.clear()
            bench.see("BUSDT")
        return rows

    bench.backfill.memory.kept = meanwhile  # type: ignore[method-assign]
    bench.see("AUSDT")
    await bench.until(lambda: bench.asked() == {"BUSDT"})
    assert "BUSDT" in [symbol for symbol, _ in past.asked]


async def test_a_symbol_not_seen_now_is_not_asked_for(bench: Bench, past: Past) -> None:
    bench.see("GONEUSDT")
    bench.clock.advance(s=601)
    bench.see("AUSDT")
    await bench.until(lambda: past.asked)
    assert [symbol for symbol, _ in past.asked] == ["AUSDT"]


async def test_a_past_that_ends_too_early_is_no_past(bench: Bench) -> None:
    """Between the last that was told and the first that was seen lies a hole: nothing before it counts."""
    bench.see("AUSDT")
    newest_ms = bench.clock.now_ms()
    told = [Sample(newest_ms - s * 1000, 1.0, None) for s in (1800, 1500, 1200)]
    bench.history.recall("AUSDT", told)
    assert bench.history.series["AUSDT"].span_ms == 0
    bench.history.recall("AUSDT", [*told, Sample(newest_ms - 600_000, 1.0, None), Sample(newest_ms + 1, 9.0, None)])
    assert bench.history.series["AUSDT"].span_ms == 1_800_000


async def test_a_crossing_right_after_a_cold_start_is_told(
    redis: Redis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline of a quarter of an hour ago is the exchange's own, asked for again after a restart within the hour;
    five minutes need sweeps of ours.
    """
    monkeypatch.setattr(backfill, "LOOK_S", 0.05)
    mark_ms = SystemClock().now_ms() // FIVE_MIN_MS * FIVE_MIN_MS
    async with Past(lambda: mark_ms + 20_000).serving() as past:
        options = {"OI_ALERT_WARM": "on", "BINANCE_REST_URL": past.origin}
        book = Book(redis)
        book.now_ms = mark_ms
        async with start(**options) as service:
            await book.sweep({"ETHUSDT": "1000000"})
            await eventually(lambda: sample(service, "pipeline_alert_warmed_total", outcome="told"))
        async with start(**options) as service:
            await eventually(lambda: sample(service, "pipeline_alert_warmed_total", outcome="told"))
            await book.sweep({"ETHUSDT": "1080000"})
            await book.looked_at()
    assert await told(redis) == ["ETHUSDT UP 15 min"]


@pytest.mark.parametrize(("setting", "asks"), [("on", True), ("off", False)])
async def test_off_means_off(start: Start, setting: str, asks: bool) -> None:
    async with Past(SystemClock().now_ms).serving() as past, start(OI_ALERT_WARM=setting, BINANCE_REST_URL=past.origin):
        jobs = [job.get_coro() for job in asyncio.all_tasks()]
        assert ("backfill" in [getattr(job, "__qualname__", "") for job in jobs]) is asks
