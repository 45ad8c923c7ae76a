"""Sums over venues and their members in a file of their own; time passed in."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.funding_api.bodies import History
from services.funding_api.past import Span, history, place
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.venues import EVERY_S, VenueKeeper, readings_of
from shared.errors import Refused, WireError
from shared.history.file import DAY_MS, open_to_read
from shared.model import VenueOpenInterest
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, AllVenues, VenueLine, venue_rows
from tests.builders import NOW_MS
from tests.fakes import FakeClock, service
from tests.venue_poller.told import told


async def put(redis: Redis, now_ms: int, **rows: str | VenueOpenInterest | None) -> None:
    """Coins of BTC by venue, or a row of them; None: the venue tells nothing now."""
    async with round_trip(redis) as pipe:
        for venue, row in rows.items():
            VENUE_LINES.put(pipe, {venue: VenueLine(now_ms, now_ms, 1, 1)})
            if isinstance(row, str):
                sides = "unknown" if venue == "bitget" else "one"
                row = told("BTC_USDT", row, venue=venue, sides=sides, received_ms=now_ms)
            if row is not None:
                venue_rows(venue).put(pipe, {"BTC": [row]})


def of_binance(received_ms: int, changed_ms: int) -> VenueOpenInterest:
    return told("BTCUSDT", "2", venue="binance", received_ms=received_ms, venue_ms=changed_ms)


def kept(path: Path, symbol: str) -> list[tuple[float, float | None]]:
    file, name = place(str(path), symbol)
    answer = history(file, name, Span(NOW_MS - 86_400_000, NOW_MS + 86_400_000, 300))
    if not isinstance(answer.body, History):
        return []
    return [(row.open_interest, row.mark_price) for row in answer.body.rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def keeper(redis: Redis, clock: FakeClock, path: Path) -> VenueKeeper:
    return VenueKeeper(str(path), service(clock, redis), Metrics(CollectorRegistry()))


async def test_each_sum_and_its_members_of_the_same_instant(
    redis: Redis, clock: FakeClock, path: Path, keeper: VenueKeeper
) -> None:
    """A venue that is away leaves a gap of its own, and a sum without it beside its members."""
    await put(redis, clock.now_ms(), binance="95000", gate="30000.5", bitget="28000")
    assert await keeper.turn() == 3
    clock.advance(EVERY_S)
    await put(redis, clock.now_ms(), binance="96000", gate=None)
    assert await keeper.turn() == 2

    assert kept(path, "all:BTC") == [(125_000.5, 93_000.0), (96_000.0, 93_000.0)]
    assert kept(path, "GATE:btc_usdt") == [(30_000.5, 93_000.0)]
    assert kept(path, "binance:BTC_USDT") == [(95_000.0, 93_000.0), (96_000.0, 93_000.0)]
    assert kept(path, "bitget:BTC_USDT") == []
    assert not path.exists()


async def test_where_no_other_venue_is_read_there_is_no_file(path: Path, keeper: VenueKeeper) -> None:
    assert await keeper.turn() == 0
    assert list(path.parent.iterdir()) == []


async def test_by_a_clock_far_from_the_exchange_s_nothing_is_kept(
    redis: Redis, clock: FakeClock, path: Path, keeper: VenueKeeper
) -> None:
    now_ms = clock.now_ms()
    await put(redis, now_ms, gate="1", binance=of_binance(now_ms, now_ms - DAY_MS))

    with pytest.raises(WireError, match="wrong_clock"):
        await keeper.turn()
    assert list(path.parent.iterdir()) == []


async def test_while_all_trading_is_halted_sums_are_kept(redis: Redis, clock: FakeClock, keeper: VenueKeeper) -> None:
    """Binance's stamps stand still, and the others trade."""
    halted_ms = clock.now_ms()
    added = []
    for _ in range(12):
        now_ms = clock.now_ms()
        await put(redis, now_ms, gate="1", binance=of_binance(now_ms, halted_ms))
        added.append(await keeper.turn())
        clock.advance(EVERY_S)

    assert added == [3] * 12


async def test_a_day_that_is_over_becomes_blocks(
    redis: Redis, clock: FakeClock, path: Path, keeper: VenueKeeper
) -> None:
    for base in ("1.5", "2.5"):
        await put(redis, clock.now_ms(), gate=base)
        await keeper.turn()
        clock.advance(30 * 3600)

    with contextlib.closing(open_to_read(place(str(path), "all:BTC")[0])) as db:
        assert db.execute("SELECT count(*) FROM minute").fetchone() == (2,)  # of the second turn: a sum and its member
        assert db.execute("SELECT count(*) FROM day WHERE step_s = 300").fetchone() == (2,)
    assert kept(path, "gate:BTC_USDT") == [(1.5, 93_000.0)]


@pytest.mark.parametrize("price", ["1" + 23 * "0", "0." + 23 * "0" + "1"])
def test_no_price_ends_the_keeper(price: str) -> None:
    """However large or small."""
    row = told("BTC_USDT", "1", venue="gate", price=price, received_ms=NOW_MS)
    summed, member = readings_of(AllVenues({"gate": {"BTC": [row]}}, {}), NOW_MS)

    assert member.row.mark == price
    assert float(summed.row.mark or "") == pytest.approx(float(price), abs=1e-12)


async def test_a_file_that_cannot_be_is_said(redis: Redis, clock: FakeClock, tmp_path: Path) -> None:
    keeper = VenueKeeper(str(tmp_path / "none" / "history.db"), service(clock, redis), Metrics(CollectorRegistry()))
    await put(redis, clock.now_ms(), gate="1")

    with pytest.raises(Refused, match="unable to open"):
        await keeper.turn()
