"""The keeper as `__main__` wires it, against a real Redis: what lands in ``oi:sweeps`` gets into the file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.oi_keeper import keeper
from services.oi_keeper.__main__ import serve
from services.oi_keeper.readings import FAR_MS, ExchangeClock, Listings, Stamp, readings_of
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.settings import Settings
from services.oi_keeper.writer import Reading, Writer
from shared.backoff import Backoff
from shared.clock import SystemClock
from shared.codec import encode_sweep
from shared.errors import Refused, Transient, WireError
from shared.fence import Fence, FencedRedis
from shared.health import Health
from shared.history.block import Row
from shared.history.file import DAY_MS, Series, open_to_read
from shared.history.read import rows_of, series_of
from shared.model import Member, OpenInterest, Sweep
from shared.model import Reading as Measured
from shared.service import Service
from shared.settings import load
from shared.store import SWEEPS, UNIVERSE, round_trip
from shared.sweeplog import Entry, SweepReader
from tests.builders import reading, sweep
from tests.fakes import at_work
from tests.waiting import eventually

NOW_MS = SystemClock().now_ms() // 60_000 * 60_000 - 1_200_000  # lately: an older day would be folded at once
HOUR_MS = 3_600_000


class Ahead(SystemClock):
    def __init__(self, by_ms: int) -> None:
        self.by_ms = by_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.by_ms


@asynccontextmanager
async def keeping(
    redis: Redis, path: Path, host: str = "", *, standby: bool = False, ahead_ms: int = 0
) -> AsyncIterator[Service]:
    settings, clock = load(Settings, {"HISTORY_PATH": str(path), "HISTORY_BACKFILL": "off"}), Ahead(ahead_ms)
    fence = Fence("oi_keeper", clock, warm=True) if standby else None
    client = FencedRedis(redis, fence) if fence else redis
    health, registry = Health(clock, settings.limit_s), CollectorRegistry()
    service = Service("oi_keeper", client, health, registry, clock, host=host, fence=fence)
    async with at_work(serve(settings, service)):
        yield service


async def listed(redis: Redis, **onboard_ms: int) -> None:
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {s: Member(s, Decimal(5_000_000), NOW_MS, NOW_MS, ms) for s, ms in onboard_ms.items()})


async def land(redis: Redis, at_ms: int = NOW_MS, ahead_ms: int = 0, **contracts: str) -> None:
    """``ahead_ms``: of the clock that stamps what is received, against the exchange's."""
    rows = {
        s: Measured(OpenInterest(s, Decimal(text), at_ms - ahead_ms - 500, at_ms), Decimal(2))
        for s, text in contracts.items()
    }
    await redis.xadd(SWEEPS, {"sweep": encode_sweep(Sweep(f"s{at_ms}", at_ms - 900, at_ms, rows, {}))})


def told(path: Path, symbol: str = "BTCUSDT") -> list[tuple[int, str]]:
    """Minutes since `NOW_MS` and contracts, of the newest series of this name."""
    try:
        db = open_to_read(str(path))
    except Refused:
        return []
    with contextlib.closing(db):
        numbers = [number for number, _ in series_of(db, symbol)][:1]
        rows = [row for number in numbers for row in rows_of(db, number, 0, 10**14)]
    return [((row.received_ms - NOW_MS) // 60_000, row.contracts) for row in rows]


async def all_acknowledged(redis: Redis) -> bool:
    groups = await redis.xinfo_groups(SWEEPS)
    return {(group["pending"], group["lag"]) for group in groups} == {(0, 0)}


async def test_sweeps_of_before_and_after_the_start_are_kept(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await listed(redis, BTCUSDT=5)
    await land(redis, BTCUSDT="1.5")
    async with keeping(redis, path) as service:
        await eventually(lambda: told(path) == [(0, "1.5")])
        await land(redis, NOW_MS + 10_000, BTCUSDT="1.6")
        await redis.xadd(SWEEPS, {"sweep": b"no sweep"})
        await land(redis, NOW_MS + 60_000, BTCUSDT="1.7")
        await eventually(lambda: told(path) == [(0, "1.5"), (1, "1.7")])
        await eventually(lambda: all_acknowledged(redis))
        await eventually(lambda: service.facts.get("newest_ms") == str(NOW_MS + 60_000))
        assert service.health.report().healthy
        assert service.registry.get_sample_value("pipeline_history_rows_total") == 2
        assert service.registry.get_sample_value("pipeline_history_last_row_timestamp_seconds") == NOW_MS / 1000 + 60
        assert service.facts["series"] == "1"


async def test_what_the_file_does_not_take_is_kept_when_it_takes_it(redis: Redis, tmp_path: Path) -> None:
    """Its folder is not there: as good as a full disk, or a file of a newer version."""
    path = tmp_path / "later" / "history.db"
    await listed(redis, BTCUSDT=5)
    async with keeping(redis, path) as service:
        for minute in range(3):
            await land(redis, NOW_MS + minute * 60_000, BTCUSDT=f"{minute}.5")
        await eventually(lambda: service.registry.get_sample_value("pipeline_history_write_failures_total"))
        report = service.health.report()
        assert not report.healthy
        assert f"HISTORY_PATH={path}: unable to open" in report.detail

        path.parent.mkdir()
        await eventually(lambda: told(path) == [(0, "0.5"), (1, "1.5"), (2, "2.5")])
        await eventually(lambda: service.health.report().healthy)


async def test_a_kill_between_file_and_acknowledgement_repeats_nothing(redis: Redis, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    await listed(redis, BTCUSDT=5)
    await land(redis, BTCUSDT="1.5")
    async with keeping(redis, path):
        await eventually(lambda: all_acknowledged(redis))
    await redis.xgroup_setid(SWEEPS, "keeper:", "0")
    await land(redis, NOW_MS + 60_000, BTCUSDT="1.6")
    async with keeping(redis, path) as service:
        await eventually(lambda: told(path) == [(0, "1.5"), (1, "1.6")])
        await eventually(lambda: service.registry.get_sample_value("pipeline_history_rows_total") == 1)


async def test_a_standby_keeps_a_file_of_its_own_and_writes_nothing_else(redis: Redis, tmp_path: Path) -> None:
    """After a handover the history of the host that works now has no gap."""
    one, other = tmp_path / "a.db", tmp_path / "b.db"
    await listed(redis, BTCUSDT=5)
    await land(redis, BTCUSDT="1.5")
    async with keeping(redis, other, "host-b", standby=True) as service:
        await eventually(lambda: told(other) == [(0, "1.5")])
        await eventually(lambda: service.health.report().healthy)
        assert service.health.report().detail.startswith("standby; ")
        assert set(await redis.keys("oi:*")) == {b"oi:universe", b"oi:sweeps"}
        assert service.registry.get_sample_value("pipeline_history_told_timestamp_seconds") == 0
        async with keeping(redis, one, "host-a") as works:
            await eventually(lambda: works.registry.get_sample_value("pipeline_history_told_timestamp_seconds"))
            await land(redis, NOW_MS + 60_000, BTCUSDT="1.6")
            for path in (one, other):
                await eventually(lambda path=path: told(path) == [(0, "1.5"), (1, "1.6")])
            await eventually(lambda: all_acknowledged(redis))


async def test_a_listing_is_learned_as_it_comes(redis: Redis, tmp_path: Path) -> None:
    """A ticker that is used again begins a new series. One that nobody knows is counted, and costs only itself."""
    path = tmp_path / "history.db"
    await listed(redis, LITUSDT=5)
    await land(redis, LITUSDT="7.5", ETHUSDT="2.5")
    async with keeping(redis, path) as service:
        await eventually(lambda: told(path, "LITUSDT") == [(0, "7.5")])
        assert service.registry.get_sample_value("pipeline_history_unlisted_total") == 1
        await listed(redis, LITUSDT=NOW_MS + 600_000)
        await land(redis, NOW_MS + 900_000, LITUSDT="900.5")
        await eventually(lambda: told(path, "LITUSDT") == [(15, "900.5")])
    assert told(path, "ETHUSDT") == []


async def test_a_keeper_whose_own_clock_is_a_year_ahead_folds_and_lets_go_of_nothing(
    redis: Redis, tmp_path: Path
) -> None:
    """Beside a poller on another host: a day is over when what comes is of the next, by the clock that stamped it."""
    path = tmp_path / "history.db"
    writer = Writer(open_to_write(str(path)))
    for days in range(9):
        at_ms = NOW_MS - (days + 2) * DAY_MS
        writer.add([Reading(Series("BTCUSDT", 5), Row(at_ms, "1", None))])
        writer.fold(at_ms // DAY_MS)
    await listed(redis, BTCUSDT=5)
    async with keeping(redis, path, ahead_ms=500 * DAY_MS):
        for n in range(5):
            await land(redis, NOW_MS + n * 60_000, BTCUSDT="2")
            await eventually(lambda n=n: told(path)[-1][0] == n)
        await eventually(lambda: all_acknowledged(redis))
    count = "SELECT (SELECT count(*) FROM minute), (SELECT count(*) FROM day)"

    assert writer.db.execute(count).fetchone() == (5, 18)
    writer.db.close()


@pytest.mark.parametrize("ahead_ms", [3_600_000, -366 * DAY_MS])
async def test_a_clock_far_from_the_exchange_s_leaves_a_gap_and_no_row_of_another_time(
    redis: Redis, tmp_path: Path, ahead_ms: int
) -> None:
    """When that time came, its rows would be there, and the real ones not kept; behind, they would fill a gap."""
    path = tmp_path / "history.db"
    await listed(redis, BTCUSDT=5)
    await land(redis, BTCUSDT="1.5")
    await land(redis, NOW_MS + ahead_ms, ahead_ms, BTCUSDT="666")
    async with keeping(redis, path) as service:
        await eventually(lambda: "wrong_clock" in service.health.report().detail or told(path))
        await eventually(lambda: all_acknowledged(redis))
        await land(redis, NOW_MS + 60_000, ahead_ms, BTCUSDT="666")
        await eventually(lambda: "wrong_clock: ours is" in service.health.report().detail)
        await land(redis, NOW_MS + 120_000, BTCUSDT="1.6")
        await eventually(lambda: told(path) == [(0, "1.5"), (2, "1.6")])
        await eventually(lambda: service.health.report().healthy)


def first_look(*stamps: tuple[int, int]) -> WireError | None:
    return ExchangeClock().judge({f"S{n}USDT": Stamp(*stamp) for n, stamp in enumerate(stamps)})


@given(st.lists(st.integers(0, 10 * DAY_MS)), st.integers(0, FAR_MS), st.integers(FAR_MS + 1, 400 * DAY_MS))
def test_a_clock_is_judged_by_no_contract_that_is_quiet(ages: list[int], newest: int, ahead_ms: int) -> None:
    ages.append(newest)
    found = [(NOW_MS, NOW_MS - age) for age in ages]

    assert first_look(*found) is None
    assert first_look(*found, (NOW_MS, NOW_MS + DAY_MS)) is None, "one bad stamp costs no sweep"
    assert first_look(*((received + ahead_ms, changed) for received, changed in found))


@given(st.lists(st.integers(0, 60_000), min_size=1), st.integers(FAR_MS + 60_001, 400 * DAY_MS))
def test_a_clock_that_is_behind_is_told_by_most_contracts(ages: list[int], behind_ms: int) -> None:
    quiet = [DAY_MS] * (len(ages) // 3)

    assert first_look(*((NOW_MS - behind_ms, NOW_MS - age) for age in [*ages, *quiet]))
    assert first_look() is None


def test_while_all_trading_is_halted_no_clock_is_wrong() -> None:
    """Nothing changes for hours, and the exchange's stamps stand still: our clock is right all the while."""
    clock = ExchangeClock()

    for minutes in range(0, 120, 15):
        assert clock.judge({"BTCUSDT": Stamp(NOW_MS + minutes * 60_000, NOW_MS)}) is None


def test_what_stands_still_proves_no_clock_wrong() -> None:
    """Neither where the keeper is started anew meanwhile, nor where few of the universe could be asked."""
    clock = ExchangeClock()
    halted = {s: Stamp(NOW_MS, NOW_MS - 2 * HOUR_MS - n) for n, s in enumerate("ABC")}

    def later(s: int, symbols: str) -> dict[str, Stamp]:
        return {symbol: halted[symbol]._replace(received_ms=NOW_MS + s * 1000) for symbol in symbols}

    assert clock.judge(halted), "of the first look nobody can tell"
    assert clock.judge(halted), "read once more, it is no second look"
    assert clock.judge(later(10, "C")) is None
    assert clock.judge(later(20, "AB")) is None


def test_a_change_that_is_new_and_long_ago_proves_a_clock_wrong() -> None:
    clock, busy_ms, right_ms = ExchangeClock(), NOW_MS - 2 * HOUR_MS, NOW_MS - 2 * HOUR_MS + 9000
    quiet_ms = NOW_MS - 9 * HOUR_MS
    clock.judge({"A": Stamp(NOW_MS, quiet_ms), "B": Stamp(NOW_MS, busy_ms)})

    assert clock.judge({"A": Stamp(NOW_MS + 10_000, quiet_ms), "B": Stamp(NOW_MS + 10_000, right_ms)})
    assert clock.judge({"B": Stamp(NOW_MS + 20_000, right_ms)}), "it does not become right by standing still"
    assert clock.judge({}) is None
    assert clock.judge({"B": Stamp(right_ms + 20_000, right_ms)}) is None
    assert clock.judge({"B": Stamp(right_ms + 30_000, right_ms)}) is None


def test_what_was_carried_is_no_row() -> None:
    one, other = reading("BTCUSDT", "1.5"), reading("ETHUSDT", "2.5", price=None, received_ms=NOW_MS)
    listings = Listings([Series("BTCUSDT", 0), Series("ETHUSDT", 0)])
    found = readings_of(sweep(one, other, failures={"BTCUSDT": "timeout"}), listings)

    assert found == ([Reading(Series("ETHUSDT", 0), Row(NOW_MS, "2.5", None))], set())


@pytest.mark.parametrize(("at_ms", "onboard_ms"), [(99, None), (100, 100), (499, 100), (500, 500), (900, 500)])
def test_a_reading_is_of_the_contract_that_had_the_name_then(at_ms: int, onboard_ms: int | None) -> None:
    listings = Listings([Series("LITUSDT", 500), Series("LITUSDT", 100), Series("BTCUSDT", 0)])

    assert listings.series("LITUSDT", at_ms) == (None if onboard_ms is None else Series("LITUSDT", onboard_ms))


async def test_an_outage_of_redis_does_not_tell_of_the_file_at_each_try(
    redis: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was there all along; an hour's outage would bury what happened under a hundred lines."""
    path, tries = tmp_path / "history.db", 0

    class Reader(SweepReader):
        async def wait(self, count: int) -> list[Entry]:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise Transient("Redis: gone")
            return await super().wait(count)

    monkeypatch.setattr(keeper, "SweepReader", Reader)
    monkeypatch.setattr(keeper, "Backoff", lambda *_: Backoff(0.01, 0.02))
    await listed(redis, BTCUSDT=5)
    await land(redis, BTCUSDT="1.5")
    with caplog.at_level(logging.INFO, "oi_keeper"):
        async with keeping(redis, path):
            await eventually(lambda: told(path) == [(0, "1.5")])

    assert tries >= 3
    assert [record.message for record in caplog.records].count("file opened") == 1
