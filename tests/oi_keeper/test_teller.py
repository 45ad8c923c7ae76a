"""``oi:changes`` as the keeper makes it of Redis and its file; time passed in."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.oi_keeper.metrics import Metrics
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.settings import Settings
from services.oi_keeper.teller import AT_ONCE, Teller
from services.oi_keeper.writer import Reading, Writer
from shared.changes import WINDOWS_MS
from shared.errors import Refused, WireError
from shared.history.block import Row
from shared.history.file import DAY_MS, Series
from shared.lately import decode_rows
from shared.model import Member
from shared.settings import load
from shared.store import CONTRACTS, UNIVERSE, round_trip
from tests.builders import NOW_MS, reading
from tests.fakes import FakeClock, at_work, service
from tests.waiting import eventually

BTC = Series("BTCUSDT", 0)


class Scene:
    def __init__(self, redis: Redis, path: Path, clock: FakeClock) -> None:
        self.redis = redis
        self.path = path
        settings = load(Settings, {"HISTORY_PATH": str(path)})
        self.teller = Teller(asyncio.Event(), settings, service(clock, redis), Metrics(CollectorRegistry()))

    def past(self, *rows: tuple[Series, int, str], fold: tuple[int, ...] = ()) -> None:
        """Of each series, so many ms ago, so many contracts."""
        writer = Writer(open_to_write(str(self.path)))
        writer.add(Reading(series, Row(NOW_MS - ago_ms, contracts, "50.0")) for series, ago_ms, contracts in rows)
        for day in fold:
            writer.fold(day)
        writer.db.close()

    async def now(self, age_ms: int = 1000, onboard_ms: int = 0, **contracts: str) -> None:
        async with round_trip(self.redis) as pipe:
            rows = {s: reading(s, text, received_ms=NOW_MS - age_ms, price="100.0") for s, text in contracts.items()}
            CONTRACTS.put(pipe, rows)
            UNIVERSE.put(pipe, {s: Member(s, Decimal(5), NOW_MS, NOW_MS, onboard_ms) for s in contracts})

    async def told(self) -> dict[str, Any]:
        await self.teller.tell()
        rows = await self.redis.hgetall("oi:changes")
        return {name.decode(): json.loads(blob) for name, blob in rows.items()}


@pytest.fixture
def scene(redis: Redis, tmp_path: Path, clock: FakeClock) -> Scene:
    return Scene(redis, tmp_path / "history.db", clock)


async def test_each_window_against_the_row_nearest_to_its_base(scene: Scene) -> None:
    """The last two out of blocks, the others out of minutes."""
    levels = dict(zip(WINDOWS_MS, ("100", "80", "50", "40", "20", "10"), strict=True))
    rows = [(BTC, WINDOWS_MS[window] + 7000, text) for window, text in levels.items()]
    off = [(BTC, WINDOWS_MS[window] + 367_000, "999") for window in levels]
    days = tuple((NOW_MS - WINDOWS_MS[window] - 7000) // DAY_MS for window in ("24h", "7d"))
    scene.past(*rows, *off, fold=days)
    await scene.now(BTCUSDT="120")
    told = (await scene.told())["BTCUSDT"]

    assert (told["at"], told["oi"]) == (NOW_MS - 1000, "120")
    for window, text in levels.items():
        assert told[window]["change"] == pytest.approx(120 / float(text) - 1), window
        assert told[window]["price"] == pytest.approx(1.0)
        assert told[window]["age"] == (WINDOWS_MS[window] + 6000) / 1000


async def test_across_a_gap_before_the_listing_and_after_a_relisting_there_is_null(scene: Scene) -> None:
    """The row of the dead namesake lies right at the base, and is not taken."""
    hour = WINDOWS_MS["1h"]
    scene.past((BTC, hour + 600_000, "100"), (Series("LITUSDT", 0), hour, "7"))
    await scene.now(BTCUSDT="120", NEWUSDT="3")
    await scene.now(onboard_ms=NOW_MS - 600_000, LITUSDT="900")
    told = await scene.told()

    assert {symbol: [row[window] for window in WINDOWS_MS] for symbol, row in told.items()} == {
        symbol: [None] * 6 for symbol in ("BTCUSDT", "LITUSDT", "NEWUSDT")
    }


async def test_what_is_not_open_interest_of_now_is_not_told_and_goes(scene: Scene) -> None:
    scene.past((BTC, 300_000, "100"))
    await scene.now(BTCUSDT="120", ETHUSDT="5")
    assert (await scene.told()).keys() == {"BTCUSDT", "ETHUSDT"}
    await scene.now(age_ms=121_000, ETHUSDT="5")
    assert (await scene.told()).keys() == {"BTCUSDT"}


async def test_without_the_file_nothing_is_told_and_what_was_stays(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.past((BTC, 300_000, "100"))
    await scene.now(BTCUSDT="120")
    before = await scene.told()
    scene.path.unlink()

    with pytest.raises(Refused, match="no such file"):
        await scene.told()
    scene.teller.opened.set()
    async with at_work(scene.teller.run()):
        await eventually(lambda: "changes of open interest cannot be told" in caplog.text)
    assert await scene.redis.hkeys("oi:changes") == [b"BTCUSDT"]
    assert before["BTCUSDT"]["5m"]["change"] == pytest.approx(0.2)


async def test_the_last_rows_are_told_where_they_are_missing(scene: Scene) -> None:
    """To who begins on an empty Redis; not of a dead namesake, and not again while they are there."""
    minutes = [(BTC, n * 60_000, f"{n}.5") for n in range(1, 100)]
    scene.past(*minutes, (Series("LITUSDT", 0), 60_000, "7"))
    await scene.now(BTCUSDT="120")
    await scene.now(onboard_ms=NOW_MS - 30_000, LITUSDT="900")
    await scene.told()
    rows = decode_rows("BTCUSDT", await scene.redis.hget("oi:past", "BTCUSDT") or b"")

    assert rows == [Row(NOW_MS - n * 60_000, f"{n}.5", "50.0") for n in range(70, 0, -1)]
    assert await scene.redis.hkeys("oi:past") == [b"BTCUSDT"]
    assert 0 < await scene.redis.pttl("oi:past") <= 600_000
    await scene.redis.hset("oi:past", "BTCUSDT", "untouched")
    await scene.told()
    assert await scene.redis.hget("oi:past", "BTCUSDT") == b"untouched"


async def test_the_last_rows_of_many_symbols_are_told_whole(scene: Scene) -> None:
    many = {f"S{n}USDT": f"{n}.5" for n in range(2 * AT_ONCE + 1)}
    scene.past(*((Series(symbol, 0), 60_000, contracts) for symbol, contracts in many.items()))
    await scene.now(onboard_ms=0, **many)
    await scene.told()

    rows = await scene.redis.hgetall("oi:past")
    assert {s.decode(): decode_rows("", blob)[0].contracts for s, blob in rows.items()} == many


@given((st.binary(max_size=60) | st.text().map(str.encode)).filter(lambda blob: b"[" not in blob))
def test_rows_that_cannot_be_read_are_named(blob: bytes) -> None:
    with pytest.raises(WireError, match="stored_past: BTCUSDT"):
        decode_rows("BTCUSDT", blob)


@pytest.mark.parametrize(
    "row", [[NOW_MS, "nan", None], [NOW_MS, "1", "0"], [-1, "1", None], ["1", "1", None], [1, "1"]]
)
def test_a_row_that_cannot_be_trusted_spoils_its_symbol(row: list[object]) -> None:
    with pytest.raises(WireError, match="stored_past: BTCUSDT"):
        decode_rows("BTCUSDT", json.dumps([row]).encode())
