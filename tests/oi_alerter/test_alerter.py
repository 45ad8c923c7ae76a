"""From sweeps in Redis to alerts in Redis, with the loop as it runs in production."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from services.oi_alerter import memory
from services.oi_alerter.alerter import samples_of
from services.oi_alerter.history import Sample
from shared import store
from shared.alert import decode_alert
from shared.clock import SystemClock, iso
from shared.model import Member
from shared.store import MARKS, UNIVERSE, round_trip
from tests.builders import NOW_MS, mark, reading, sweep
from tests.fakes import sample
from tests.oi_alerter.conftest import Book, Start, alerts, told
from tests.waiting import eventually


async def put_member(redis: Redis, symbol: str, onboard_ms: int) -> None:
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {symbol: Member(symbol, Decimal(9_000_000), onboard_ms, onboard_ms, onboard_ms)})


async def test_the_past_is_known_at_the_start_and_not_told(redis: Redis, start: Start, book: Book) -> None:
    """An operator who installs this is not flooded with three hours of alerts, and needs no hour of patience."""
    await book.hold(3600, ETHUSDT="1000000")
    await book.hold(10, ETHUSDT="1080000")
    async with start():
        await book.looked_at()
        await book.hold(100, ETHUSDT="1120000")
        await book.looked_at()

    assert await told(redis) == ["ETHUSDT UP 5 min", "ETHUSDT UP 15 min", "ETHUSDT UP 1 hour"]


async def test_an_alert_is_what_the_backend_takes(redis: Redis, start: Start, book: Book) -> None:
    book = Book(redis, behind_s=410)
    async with start() as service:
        await book.hold(400, ETHUSDT="1000000.5")
        async with round_trip(redis) as pipe:
            MARKS.put(pipe, {"ETHUSDT": mark("ETHUSDT", received_ms=SystemClock().now_ms())})
        await book.sweep({"ETHUSDT": "950000.5"}, price="1900")
        await book.looked_at()
        await eventually(lambda: sample(service, "pipeline_alerts_total", timeframe="5 min", direction="DOWN") == 1)

    (entry,) = await redis.xrange("oi:alerts")
    (alert,) = await alerts(redis)
    assert alert == {
        "symbol": "ETHUSDT",
        "direction": "DOWN",
        "baseline": 1000000.5,
        "current": 950000.5,
        "pctChange": pytest.approx(-0.05, rel=1e-6),
        "absChange": -50000.0,
        "priceChange": pytest.approx(-0.05),
        "fundingRate": 0.0001,
        "timeframe": "5 min",
        "timestamp": iso(book.now_ms),
        "source": "oi_realtime_poller",
    }
    assert msgspec.to_builtins(decode_alert(entry[1][b"alert"])) == alert


async def test_what_is_not_known_is_absent(redis: Redis, start: Start, book: Book) -> None:
    """No price in the sweep, and a funding rate of two hours later: neither belongs to this alert."""
    async with start():
        await book.hold(400, ETHUSDT="1000000")
        async with round_trip(redis) as pipe:
            MARKS.put(pipe, {"ETHUSDT": mark("ETHUSDT", received_ms=SystemClock().now_ms())})
        await book.sweep({"ETHUSDT": "1050000"}, price=None)
        await book.looked_at()

    (alert,) = await alerts(redis)
    assert not {"priceChange", "fundingRate"} & alert.keys()


def test_stablecoins_carried_values_and_zeros_are_no_samples() -> None:
    told = sweep(
        *(reading(symbol, "1") for symbol in ("ETHUSDT", "USDCUSDT")),
        reading("BTCUSDT", "0"),
        reading("SOLUSDT", "5.5", price=None),
        failures={"ETHUSDT": "timeout", "ADAUSDT": "timeout"},
    )

    assert samples_of(told, frozenset({"USDCUSDT"})) == {"SOLUSDT": Sample(NOW_MS, 5.5, None)}


async def test_the_list_of_skipped_symbols_can_be_changed(redis: Redis, start: Start, book: Book) -> None:
    async with start(OI_ALERT_SKIP="ethusdt, 币安人生USDT"):
        await book.hold(400, ETHUSDT="1000000", USDCUSDT="1000000", 币安人生USDT="1000000")
        await book.sweep(dict.fromkeys(("ETHUSDT", "USDCUSDT", "币安人生USDT"), "1040000"))
        await book.looked_at()

    assert await told(redis) == ["USDCUSDT UP 5 min"]


async def test_a_relisted_symbol_has_no_past(redis: Redis, start: Start, book: Book) -> None:
    """Open interest of the dead namesake is no baseline; the onboard date tells them apart."""
    async with start():
        await book.hold(400, ETHUSDT="1000000")
        await put_member(redis, "ETHUSDT", book.now_ms - 200_000)
        await book.sweep({"ETHUSDT": "1050000"})
        await book.looked_at()

    assert await told(redis) == []


async def test_what_nobody_can_read_is_counted_and_costs_only_itself(redis: Redis, start: Start, book: Book) -> None:
    """A mark costs the rate, a latch what it holds back, a sweep itself: the alert is told."""
    await redis.hset("oi:mark", mapping={"ETHUSDT": b"{", "SOLUSDT": b"{"})
    await redis.hset("oi:alerter", mapping={"ETHUSDT UP 5 min": b"{", b"\xff": b"{}"})
    async with start() as service:
        await book.hold(400, ETHUSDT="1000000")
        await book.put(b"\xc1")
        await book.sweep({"ETHUSDT": "1050000"})
        await book.looked_at()
        for reason, count in (("stored_mark", 1), ("stored_latch", 2), ("stored_sweep", 1)):
            labels = {"source": "redis", "reason": reason}
            await eventually(lambda: sample(service, "pipeline_bad_rows_total", **labels) == count)  # noqa: B023

    assert await told(redis) == ["ETHUSDT UP 5 min"]
    assert (await redis.xpending("oi:sweeps", "alerter"))["pending"] == 0


async def test_a_cursor_nobody_can_read_is_a_first_start(redis: Redis, book: Book) -> None:
    await book.hold(100, ETHUSDT="1000000")
    await redis.hset("oi:alerter", "cursor", b"no id")
    kept = memory.Memory(redis)
    await kept.recall(pytest.fail)
    assert kept.cursor == book.last_id
    assert await redis.hget("oi:alerter", "cursor") == book.last_id.encode()


async def test_health_is_good_only_while_sweeps_with_something_in_them_come(
    redis: Redis, start: Start, book: Book
) -> None:
    async with start() as service:
        assert service.health.report().state == "starting"
        await book.sweep({"ETHUSDT": "1000000"})
        await eventually(lambda: service.health.report().healthy)
        assert service.facts["watched"] == "1"
        assert service.facts["samples"] == "1"

        await book.sweep({"ETHUSDT": "1000000"}, failures={"ETHUSDT": "banned"})
        await eventually(lambda: "no fresh reading" in service.health.report().detail)
        assert service.health.report().state == "degraded"

        await book.sweep({"ETHUSDT": "1000000"})
        await eventually(lambda: service.health.report().healthy)
        service.health.limit_s = 0.01
        await eventually(lambda: "is oi_poller running?" in service.health.report().detail)
        assert not service.health.report().healthy


async def test_a_redis_that_went_away_and_came_back_empty(own_redis: EmbeddedRedis, start: Start) -> None:
    async with store.connect(own_redis.url) as client, start(client) as service:
        book = Book(client)
        await book.hold(400, ETHUSDT="1000000")
        await book.looked_at()
        own_redis.kill()
        await eventually(lambda: "waiting for Redis" in service.health.report().detail)
        await eventually(lambda: sample(service, "pipeline_redis_failures_total") >= 1)

        own_redis.start()
        await eventually(lambda: _begun(client))
        await book.hold(400, ETHUSDT="1200000")
        await book.sweep({"ETHUSDT": "1300000"})
        await book.looked_at()
        await eventually(lambda: service.health.report().healthy)
        assert await told(client) == ["ETHUSDT UP 5 min"]


async def _begun(client: Redis) -> bool:
    try:
        return bool(await client.hexists("oi:alerter", "cursor"))
    except store.RedisError:
        return False


async def test_what_is_held_is_what_is_in_force(redis: Redis, start: Start, book: Book) -> None:
    """Latches are readable at night, and gone when they hold nothing back; of a symbol that left nothing is kept."""
    async with start() as service:
        await book.hold(400, ETHUSDT="1000000", GONEUSDT="1000000")
        await book.sweep({"ETHUSDT": "1050000"})
        fired_ms = book.now_ms
        await book.hold(30, ETHUSDT="1050000")
        await book.looked_at()
        row = await redis.hget("oi:alerter", "ETHUSDT UP 5 min")
        assert row.decode() == f'{{"firedAt":{fired_ms},"outsideAt":{book.now_ms}}}'
        await eventually(lambda: service.facts.get("latches") == "1")
        assert service.facts["watched"] == "2"

        await book.hold(700, ETHUSDT="1050000")
        await book.looked_at()
        assert await redis.hkeys("oi:alerter") == [b"cursor"]
        await eventually(lambda: (service.facts["latches"], service.facts["watched"]) == ("0", "1"))
        assert float(service.facts["history_s"]) == pytest.approx(1130)
        await eventually(lambda: sample(service, "pipeline_alerts_suppressed_total", reason="no_baseline") > 0)
