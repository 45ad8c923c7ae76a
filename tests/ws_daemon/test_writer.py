"""Marks and volumes -> Redis, with a real Redis that is taken away and emptied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from services.ws_daemon.stream import Watch
from services.ws_daemon.writer import LOST, Writer
from shared import store
from shared.clock import SystemClock
from shared.codec import encode_mark, encode_mark_text
from shared.errors import Transient
from shared.settings import load
from shared.store import MARKS, VOLUMES, round_trip
from tests.builders import NOW_MS, mark, volume
from tests.fakes import service
from tests.shared.venues.binance.rows import frame, mark_row, mini_row
from tests.waiting import eventually


class Bench:
    """A writer at work on a latest that the test fills."""

    def __init__(self, redis: Redis) -> None:
        self.registry = CollectorRegistry()
        metrics, it = Metrics(self.registry), service(SystemClock(), redis)
        self.redis = redis
        self.health = it.health
        self.feed = Feed(load(Settings, {}), it, metrics)
        self.latest = self.feed.latest
        self.watch = Watch()
        self.feed.delivering(self.watch, on=True)
        self.writer = Writer(it, self.feed, metrics)

    def give(self, *symbols: str, event_ms: int = NOW_MS, price: str = "1.50") -> None:
        rows = [mark_row(s, price, event_ms) for s in symbols] + [mini_row(s, event_ms=event_ms) for s in symbols]
        self.feed.take_stream("stream-1", frame(*rows))

    def written(self) -> float | None:
        """Frames that stand in Redis; with each the writer said how it stands."""
        return self.registry.get_sample_value("pipeline_mark_write_seconds_count")

    async def stored(self) -> set[str]:
        try:
            return {name.decode() for name in await self.redis.hkeys(MARKS.key)}
        except store.RedisError:
            return set()


@asynccontextmanager
async def bench(redis: Redis) -> AsyncIterator[Bench]:
    it = Bench(redis)
    writing = asyncio.create_task(it.writer.keep_writing())
    try:
        yield it
    finally:
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing


async def test_a_frame_stands_in_redis(redis: Redis) -> None:
    async with bench(redis) as it:
        it.give("BTCUSDT", "币安人生USDT")

        await eventually(lambda: it.health.report().last_success_ms)
        marks = await MARKS.all(redis, lambda _: None)
        volumes = await VOLUMES.all(redis, lambda _: None)

    assert set(marks) == set(volumes) == {"BTCUSDT", "币安人生USDT"}
    assert encode_mark(marks["BTCUSDT"]) == encode_mark_text(it.latest.marks["BTCUSDT"])


async def test_the_last_frame_of_a_stream_that_ended_is_no_fallback(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both connections were closed, and are there again before premiumIndex was ever asked: nobody has to wake up."""
    async with bench(redis) as it:
        it.writer.service.facts["source"] = "stream"
        it.give("BTCUSDT")
        await eventually(lambda: it.health.report().healthy)
        it.feed.delivering(it.watch, on=False)
        it.give("BTCUSDT", price="2.50", event_ms=NOW_MS + 1000)
        await eventually(lambda: it.written() == 2)
        assert it.health.report().healthy

        it.writer.service.facts["source"] = "premiumIndex"
        it.give("BTCUSDT", price="3.50", event_ms=NOW_MS + 2000)
        await eventually(lambda: it.health.report().detail == "no stream delivers: 1 marks from premiumIndex")

        it.feed.delivering(it.watch, on=True)
        it.give("BTCUSDT", event_ms=NOW_MS + 3000)
        await eventually(lambda: it.health.report().healthy)
        monkeypatch.setattr(it.feed, "streams_deliver", lambda: False)  # frames come, and bring few of the marks
        it.give("BTCUSDT", event_ms=NOW_MS + 4000)
        await eventually(lambda: it.health.report().detail == "no stream delivers: 1 marks from premiumIndex")


async def test_what_redis_held_before_a_restart_is_recalled_and_only_newer_rows_count(redis: Redis) -> None:
    """A restart must not go back in time, nor forget the volumes of quiet symbols."""
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {"BTCUSDT": mark("BTCUSDT", "2.50"), "QUIETUSDT": mark("QUIETUSDT")})
        VOLUMES.put(pipe, {"QUIETUSDT": volume("QUIETUSDT")})
    async with bench(redis) as it:
        await eventually(lambda: "QUIETUSDT" in it.latest.volumes)
        it.give("BTCUSDT", event_ms=NOW_MS + 1000)
        await eventually(lambda: it.health.report().last_success_ms)

    assert set(it.latest.marks) == {"BTCUSDT", "QUIETUSDT"}
    assert await it.stored() == {"BTCUSDT", "QUIETUSDT"}


async def test_what_redis_refused_is_written_with_the_next_frame(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write that failed: Redis lost nothing, and nobody would see that it holds an older value."""
    it = Bench(redis)
    it.give("BTCUSDT", "ETHUSDT")
    await it.writer._write_frame()
    it.give("BTCUSDT", "ETHUSDT", event_ms=NOW_MS + 1000)
    with monkeypatch.context() as away:
        away.setattr(it.writer, "_write", AsyncMock(side_effect=Transient("Redis is away")))
        with pytest.raises(Transient):
            await it.writer._write_frame()

    it.give("BTCUSDT", event_ms=NOW_MS + 2000)
    await it.writer._write_frame()

    stored = await MARKS.all(redis, pytest.fail)
    assert {symbol: one.event_ms for symbol, one in stored.items()} == {
        "BTCUSDT": NOW_MS + 2000,
        "ETHUSDT": NOW_MS + 1000,
    }


async def test_an_emptied_redis_is_refilled_whole_with_the_next_frame_and_who_empties_it_named_once_a_minute(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program, or a policy that evicts: it was a WARNING with each frame."""
    it = Bench(redis)
    it.give("BTCUSDT", "ETHUSDT")
    await it.writer._write_frame()
    for second in range(1, 5):
        await redis.flushall()
        it.give("BTCUSDT", event_ms=NOW_MS + 1000 * second)
        await it.writer._write_frame()
        assert await it.stored() == await VOLUMES.symbols(redis) == {"BTCUSDT", "ETHUSDT"}

    assert [record.message for record in caplog.records].count(LOST) == 1


async def test_marks_that_come_while_a_write_is_under_way_are_not_missing_in_it(redis: Redis) -> None:
    """At every start the latest grows meanwhile: that is no Redis that lost what it held."""
    it = Bench(redis)
    it.give("BTCUSDT")
    changes = it.latest.take_changes()
    it.give("ETHUSDT")

    assert await it.writer._write(changes)
    assert await it.writer._write(it.latest.take_changes())
    await redis.flushall()
    it.give("BTCUSDT", event_ms=NOW_MS + 1000)
    assert not await it.writer._write(it.latest.take_changes())


async def test_what_redis_missed_is_written_whole_on_return(own_redis: EmbeddedRedis) -> None:
    """Killed and started again empty: nothing but the newest value of each symbol was kept meanwhile."""
    client = store.connect(own_redis.url)
    async with bench(client) as it:
        it.give("BTCUSDT")
        await eventually(it.stored)
        own_redis.kill()
        it.give("ETHUSDT")
        it.give("BTCUSDT", event_ms=NOW_MS + 1000, price="9.75")
        await eventually(lambda: "waiting for Redis" in it.health.report().detail)
        own_redis.start()
        await eventually(lambda: it.health.report().state == "ok")
        marks = await MARKS.all(client, lambda _: None)

    assert {s: str(m.mark_price) for s, m in marks.items()} == {"BTCUSDT": "9.75", "ETHUSDT": "1.50"}
    await client.aclose()
