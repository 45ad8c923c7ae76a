"""The week before the first start: the exchange's own statistic, beside what was seen, and compared with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import Redis

from dev.exchange.market import Book
from dev.exchange.venue import Settings as Market
from dev.exchange.venue import Venue
from services.oi_keeper.__main__ import serve
from services.oi_keeper.backfill import HOURS, Backfill, difference, due, rows_told
from services.oi_keeper.keeper import FileAway, Keeper
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.settings import Settings
from services.oi_keeper.writer import Reading, Writer
from shared.clock import SystemClock
from shared.history.block import Row
from shared.history.file import DAY_MS, Series, open_to_read
from shared.history.read import rows_of, series_of
from shared.model import Member
from shared.service import Service
from shared.settings import load
from shared.store import UNIVERSE, round_trip
from tests.builders import NOW_MS
from tests.exchange.conftest import Exchange
from tests.fakes import FakeClock, at_work, service
from tests.waiting import eventually

HOUR_MS = 3_600_000
SEED = 7
digits = st.text("0123456789", min_size=1, max_size=24)
figures = st.builds("{}.{}".format, digits, digits)


@pytest.fixture(scope="module")
def market() -> Iterator[Exchange]:
    exchange = Exchange("--seed", str(SEED))
    yield exchange
    exchange.close()


class Hurried(SystemClock):
    """Whose waits are a tenth as long."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 10)


@contextlib.asynccontextmanager
async def keeping(redis: Redis, path: Path, exchange: Exchange) -> AsyncIterator[Service]:
    settings = load(Settings, {"HISTORY_PATH": str(path), "BINANCE_REST_URL": exchange.url})
    one = service(Hurried(), redis, "oi_keeper", settings.limit_s)
    async with at_work(serve(settings, one)):
        yield one


def asked(service: Service, outcome: str = "told") -> float:
    return service.registry.get_sample_value("pipeline_history_backfilled_total", {"outcome": outcome}) or 0.0


def kept(path: Path, symbol: str) -> list[Row]:
    with contextlib.closing(open_to_read(str(path))) as db:
        ((number, _),) = series_of(db, symbol)
        return rows_of(db, number, 0, 10**14)


def as_told(book: Book, at_ms: int) -> Row:
    contracts = book.oi_at(at_ms)
    return Row(at_ms, f"{contracts:.8f}", f"{book.mark_at(at_ms):.8f}", ours=False)


async def test_a_week_is_there_after_a_first_start_with_the_exchange_s_own_values(
    redis: Redis, tmp_path: Path, market: Exchange
) -> None:
    """Against the stand-in's own past; a contract that is three days old has three days; nobody is asked twice."""
    path, now_ms = tmp_path / "history.db", SystemClock().now_ms()
    books = Venue(Market(seed=SEED)).books
    young_ms = now_ms - 3 * DAY_MS
    onboard = {s: books[s].contract.onboard_ms for s in ("BTCUSDT", "币安人生USDT", "SOLUSDT")} | {"ETHUSDT": young_ms}
    differs = Series("SOLUSDT", onboard["SOLUSDT"])
    with contextlib.closing(open_to_write(str(path))) as db:
        hours = [now_ms // HOUR_MS * HOUR_MS - n * HOUR_MS for n in range(1, 6)]
        Writer(db).add(Reading(differs, Row(at_ms, "1.0", None)) for at_ms in hours)
    async with round_trip(redis) as pipe:
        members = {s: Member(s, Decimal(5), now_ms, now_ms, ms) for s, ms in (onboard | {"NOPEUSDT": 5}).items()}
        UNIVERSE.put(pipe, members)
    async with keeping(redis, path, market) as service:
        await eventually(lambda: (asked(service), asked(service, "failed")) == (4, 1))
        assert (service.facts["differing"], service.facts["compared"]) == ("SOLUSDT", "1")
    with contextlib.closing(open_to_write(str(path))) as db:
        assert due(Writer(db).numbers, Writer(db).asked(), SystemClock().now_ms()) == [], "a restart does not ask again"
    del onboard["SOLUSDT"]

    for symbol, since_ms in onboard.items():
        rows = kept(path, symbol)
        first_ms = max(since_ms, rows[-1].received_ms - (HOURS - 1) * HOUR_MS)
        assert [row.received_ms for row in rows] == list(
            range(-(-first_ms // HOUR_MS) * HOUR_MS, rows[-1].received_ms + 1, HOUR_MS)
        )
        assert now_ms - rows[-1].received_ms < 2 * HOUR_MS
        for row in rows:
            truth = as_told(books[symbol], row.received_ms)
            assert (row.received_ms, row.contracts, row.ours) == (truth.received_ms, truth.contracts, False)
            assert float(row.mark or 0) == pytest.approx(float(truth.mark or 0), rel=1e-6)


def body(*rows: tuple[int, str, Any]) -> bytes:
    told = [{"symbol": "LITUSDT", "sumOpenInterest": c, "sumOpenInterestValue": v, "timestamp": t} for t, c, v in rows]
    return json.dumps(told).encode()


def test_what_was_before_the_listing_is_a_dead_namesake_s() -> None:
    told = body((NOW_MS - 1, "7", "7"), (NOW_MS, "9.5", "19.0"), (NOW_MS + 1, "8.0", None), (NOW_MS + 2, "0", "0"))

    assert rows_told(told, "LITUSDT", NOW_MS) == [
        Row(NOW_MS, "9.5", "2.00000000", False),
        Row(NOW_MS + 1, "8.0", None, False),
        Row(NOW_MS + 2, "0", None, False),
    ]


@example("0.1", "1" + 23 * "0")
@given(figures, figures)
def test_no_figure_ends_the_keeper(contracts: str, value: str) -> None:
    """However large or small; a price of which eight decimals show nothing is none."""
    (row,) = rows_told(body((NOW_MS, contracts, value)), "LITUSDT", NOW_MS)

    assert Decimal(row.contracts) == Decimal(contracts)
    assert row.mark is None or Decimal(row.mark) == pytest.approx(
        Decimal(value) / Decimal(contracts), abs=Decimal("1e-8")
    )
    assert row.mark is None or Decimal(row.mark) > 0


def test_the_middle_of_the_hours_that_both_have_is_compared() -> None:
    """One hour that moved within its minute is no finding; the same difference in most of them is."""
    hours = [NOW_MS + n * HOUR_MS for n in range(5)]
    told = [Row(at, "100.0", None, False) for at in hours]

    def ours(*contracts: str) -> list[Row]:
        return [Row(at + 7000, text, None) for at, text in zip(hours, contracts, strict=False)]

    assert difference(told, ours("100.0", "100.1", "140", "100", "99.9")) == pytest.approx(0.001)
    assert difference(told, ours("100", "101", "101", "101", "101")) == pytest.approx(0.01)
    assert difference(told, ours("100", "100")) is None
    assert difference([], ours("100", "100", "100")) is None


async def test_a_contract_that_has_left_is_no_finding_any_more(redis: Redis, clock: FakeClock, tmp_path: Path) -> None:
    """It would stand in `oi doctor` until the keeper is started again."""
    one, settings = service(clock, redis), load(Settings, {"HISTORY_PATH": str(tmp_path / "history.db")})
    metrics = Metrics(one.registry)
    backfill = Backfill(one, None, Keeper(settings, one, metrics), metrics)  # type: ignore[arg-type]
    for symbol in ("AUSDT", "BUSDT"):
        backfill._tell(Series(symbol, 1), 0.01)
    assert one.facts["differing"] == "AUSDT,BUSDT"
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {s: Member(s, Decimal(5), 0, 0, onboard) for s, onboard in (("AUSDT", 1), ("BUSDT", 2))})

    with pytest.raises(FileAway):
        await backfill._due()
    assert (one.facts["differing"], one.facts["compared"]) == ("AUSDT", "1")


class Told:
    """The exchange, which knows nothing of anybody, and a file in one."""

    def __init__(self, path: Path) -> None:
        self.writer = Writer(open_to_write(str(path)))
        self.waits_s: list[float] = []

    async def in_file(self, work: Any, *arguments: Any) -> Any:
        return work(self.writer, *arguments)

    async def ask(self, *_: Any) -> bytes:
        return b"[]"

    async def after_an_answer(self, every_s: float) -> None:
        self.waits_s.append(every_s)
        if len(self.waits_s) == 2:
            raise asyncio.CancelledError


async def test_the_first_week_is_asked_for_at_once_and_each_day_s_opinion_at_leisure(
    redis: Redis, clock: FakeClock, tmp_path: Path
) -> None:
    told, one = Told(tmp_path / "history.db"), service(clock, redis)
    told.writer.told(Series("AUSDT", 1), [], clock.now_ms() - DAY_MS)
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {symbol: Member(symbol, Decimal(5), 0, 0, 1) for symbol in ("AUSDT", "BUSDT")})

    with pytest.raises(asyncio.CancelledError):
        await Backfill(one, told, told, Metrics(one.registry)).keep()  # type: ignore[arg-type]
    assert told.waits_s == [0.5, 4.0]


def test_who_was_never_asked_for_comes_first_and_who_was_today_waits() -> None:
    listed = a, b, c = [Series(symbol, 1) for symbol in ("AUSDT", "BUSDT", "CUSDT")]

    assert due(listed, {a: NOW_MS - DAY_MS, b: NOW_MS - 2 * DAY_MS}, NOW_MS) == [c, b, a]
    assert due(listed, {a: NOW_MS - DAY_MS, b: NOW_MS - 2 * DAY_MS, c: NOW_MS}, NOW_MS) == [b, a]
    assert due(listed, {a: NOW_MS - DAY_MS + 1, b: NOW_MS, c: NOW_MS}, NOW_MS) == []
    assert due(listed, {Series("AUSDT", 0): NOW_MS, b: NOW_MS, c: NOW_MS}, NOW_MS) == [a], "listed anew"
    assert due(listed, {a: NOW_MS + 1, b: NOW_MS, c: NOW_MS}, NOW_MS) == [a], "by a clock that was ahead"
