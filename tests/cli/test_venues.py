"""Other venues in `oi status` and `oi explain`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis
from rich.console import Console

from cli.settings import find
from cli.show import DEGRADED, DOWN, GOOD, Hop
from cli.state import read
from cli.status import status
from cli.venues import OverVenues, VenueRow, over_venues, table
from cli.words import DOUBTS
from services.venue_poller.sanity import WORDS
from shared.aggregate import Out
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, Refusal, VenueLine, read_venues, venue_rows
from tests.cli.world import World
from tests.venue_poller.told import told

SETTINGS = find({"REDIS_URL": "redis://h", "VENUES": "okx,gate"}).settings


async def hop_of(world: World, redis: Redis, lines: dict[str, VenueLine]) -> Hop | None:
    await world.write(redis)
    async with round_trip(redis) as pipe:
        VENUE_LINES.put(pipe, lines)
    found = status(await read(redis), SETTINGS, "tests")
    return next((hop for hop in found.hops if hop.hop == "venues"), None)


def reading(world: World) -> World:
    world.beats["venue_poller"] = {"state": "ok", "detail": "well", "venues": "okx,gate"}
    return world


def line(world: World, age_s: float = 2.0, **changes: Any) -> VenueLine:
    at_ms = int(world.now_ms - age_s * 1000)
    return VenueLine(**{"at": at_ms, "asked": world.now_ms, "rows": 300, "coins": 290, **changes})


async def test_there_is_a_hop_only_where_venues_are_read(redis: Redis) -> None:
    world = World()
    assert await hop_of(world, redis, {}) is None
    world.beats["venue_poller"] = {"state": "ok", "detail": "idle", "venues": ""}
    assert await hop_of(world, redis, {"okx": line(world, 9999)}) is None

    hop = await hop_of(reading(World()), redis, {"okx": line(world), "gate": line(world)})
    assert hop is not None
    assert (hop.state, hop.counts) == (GOOD, "2 venues, 600 contracts, 0 not believed")


async def test_a_venue_that_is_not_believed_is_named_with_its_trouble(redis: Redis) -> None:
    world = reading(World())

    hop = await hop_of(world, redis, {"okx": line(world, 90, trouble="403 <html>"), "gate": line(world)})

    assert hop is not None
    assert (hop.state, hop.cause) == (DEGRADED, "okx: not believed for 90s, 403 <html>")

    kept_away = line(world, 90, trouble="403 <html>", until=world.now_ms + 400_000)
    hop = await hop_of(world, redis, {"okx": kept_away, "gate": line(world)})
    assert hop is not None
    assert hop.cause == "okx: not believed for 90s, 403 <html>, asked again in 7m"


async def test_nothing_read_at_all(redis: Redis) -> None:
    world = reading(World())
    hop = await hop_of(world, redis, {"okx": line(world, at=0, trouble="away")})
    assert hop is not None
    assert (hop.state, hop.cause) == (DOWN, "okx: never believed, away; gate: not read yet")


async def test_without_its_process_no_venue_is_read(redis: Redis) -> None:
    """However many were: as of every other service that is dead."""
    hop = await hop_of(World(), redis, {"okx": line(World()), "gate": line(World())})
    assert hop is not None
    assert hop.state == DOWN
    assert "no heartbeat" in hop.cause


async def test_a_venue_that_is_no_longer_chosen_is_not_counted(redis: Redis) -> None:
    """Its line stays in Redis."""
    world = reading(World())
    lines = {"okx": line(world), "gate": line(world), "bybit": line(world, 9999, rows=700)}

    hop = await hop_of(world, redis, lines)

    assert hop is not None
    assert (hop.state, hop.counts) == (GOOD, "2 venues, 600 contracts, 0 not believed")


@pytest.mark.parametrize(("ill", "state"), [(0, DEGRADED), (1, DEGRADED), (2, DOWN)])
async def test_a_warning_takes_no_venue_for_ill(redis: Redis, ill: int, state: str) -> None:
    world = reading(World())
    lines = {name: line(world, 90 if n < ill else 2) for n, name in enumerate(("okx", "gate"))}

    hop = await hop_of(world, redis, {**lines, "binance": line(world, warning="BTC in 10 min: binance +0.0%")})

    assert hop is not None
    assert hop.state == state
    assert hop.cause.endswith("BTC in 10 min: binance +0.0%")


async def test_each_venue_s_row_of_a_coin_and_why_one_is_not_in_the_sum(redis: Redis) -> None:
    world = World()
    now_ms = world.now_ms
    refused = {
        "BTC-USDT-SWAP": Refusal("BTC", "jump", "from 1 to 3 BTC at once", now_ms),
        "NEW-SWAP": Refusal("BTC", "absurd", "9 times", now_ms),
    }
    rows = {
        "binance": told(base="95000", venue="binance", received_ms=now_ms),
        "gate": told("BTC_USDT", "30000.5", venue="gate", received_ms=now_ms - 4000),
        "okx": told("BTC-USDT-SWAP", venue="okx", received_ms=now_ms - 61_000),
        "bitget": told(venue="bitget", sides="unknown", received_ms=now_ms),
    }
    off = {"BTCUSDT": Refusal("BTC", "price_off", "by its mark", now_ms)}
    lines = {"okx": line(world, refused=refused), "bitget": line(world, refused=off)}
    async with round_trip(redis) as pipe:
        for venue, row in rows.items():
            venue_rows(venue).put(pipe, {"BTC": [row]})
            VENUE_LINES.put(pipe, {venue: lines.get(venue, line(world))})

    found = over_venues("BTCUSDT", await read_venues(redis, pytest.fail), now_ms)

    assert found is not None
    assert (found.coin, found.base, found.oldest_s) == ("BTC", Decimal("125000.5"), 4.0)
    assert {Out(row.venue, row.symbol, row.why) for row in found.rows} == {
        Out("binance", "BTCUSDT", ""),
        Out("gate", "BTC_USDT", ""),
        Out("okx", "BTC-USDT-SWAP", "jump"),
        Out("okx", "NEW-SWAP", "absurd"),
        Out("bitget", "BTCUSDT", "unknown_sides"),
    }
    assert "by its mark" not in next(row.cause for row in found.rows if row.venue == "bitget")
    console = Console(width=160, force_terminal=False)
    with console.capture() as shown:
        console.print(table(found))
    lines = shown.get().splitlines()
    assert any("okx" in text and "it changed more at once" in text for text in lines)
    assert "125,000.500" in lines[-1]
    assert "2 of 5" in lines[-1]


def test_a_narrow_terminal_cuts_no_number() -> None:
    """$2.6… could be anything; a name goes on in the next line instead."""
    usd = Decimal(2_620_000_000)
    row = VenueRow("hyperliquid", "BTC-USDT-SWAP", Decimal("182915.32"), usd, "unknown", 12.0, "", "")
    console = Console(width=60, force_terminal=False)
    with console.capture() as shown:
        console.print(table(OverVenues("BTC", Decimal("1809917.234"), Decimal(5_710_000_000), 12.0, [row])))

    assert "…" not in shown.get()
    assert {"182,915.320", "$2.62B", "1,809,917.234", "$5.71B", "12s"} <= set(shown.get().split())


def test_every_word_of_a_doubt_has_its_sentence() -> None:
    assert set(WORDS) <= DOUBTS.keys()


async def test_a_symbol_that_no_other_venue_has(redis: Redis) -> None:
    assert over_venues("BTCUSDT", await read_venues(redis, pytest.fail), 0) is None
