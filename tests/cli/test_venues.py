"""Other venues in `oi status` and `oi explain`."""

from __future__ import annotations

from collections.abc import Callable
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


def line(world: World, age_s: float = 2.0, **changes: Any) -> VenueLine:
    at_ms = int(world.now_ms - age_s * 1000)
    return VenueLine(**{"at": at_ms, "asked": world.now_ms, "rows": 300, "coins": 290, **changes})


Lines = Callable[[World], dict[str, VenueLine]]
COUNTS = "2 venues, 600 contracts, 0 not believed"
HTML = {"trouble": "403 <html>"}
OLD = "not believed for 90s"
AWAY = f"okx: {OLD}, 403 <html>"
NONE = "okx: never believed; gate: not read yet"
SILENT = "venue_poller is not running, or cannot reach Redis: no heartbeat (systemctl status oi-venue-poller)"
APART = "BTC in 10 min: binance +0.0%"
BOTH = f"okx: {OLD}; gate: {OLD}; {APART}"


def two(okx_s: float = 2, gate_s: float = 2, **more: dict[str, Any]) -> Lines:
    """Lines of okx and gate, so many seconds old, and of others."""
    return lambda w: {
        "okx": line(w, okx_s),
        "gate": line(w, gate_s),
        **{n: line(w, **told) for n, told in more.items()},
    }


def kept_away(world: World) -> dict[str, VenueLine]:
    return two(okx={**HTML, "age_s": 90, "until": world.now_ms + 400_000})(world)


# Which venues the poller reads, None without one; what stands in Redis; how the hop stands, its counts, its cause.
HOPS: list[tuple[str, str | None, Lines, str, str, str]] = [
    ("well", "okx,gate", two(), GOOD, COUNTS, ""),
    ("refused", "okx,gate", two(okx={**HTML, "age_s": 90}), DEGRADED, COUNTS, AWAY),
    ("kept away", "okx,gate", kept_away, DEGRADED, COUNTS, f"{AWAY}, asked again in 7m"),
    ("nothing read", "okx,gate", lambda w: {"okx": line(w, at=0)}, DOWN, COUNTS.replace("600", "300"), NONE),
    ("no process", None, two(), DOWN, COUNTS, SILENT),
    ("no longer chosen", "okx,gate", two(bybit={"age_s": 9999, "rows": 700}), GOOD, COUNTS, ""),
    ("a warning", "okx,gate", two(binance={"warning": APART}), DEGRADED, COUNTS, APART),
    ("and one ill", "okx,gate", two(90, binance={"warning": APART}), DEGRADED, COUNTS, f"okx: {OLD}; {APART}"),
    ("and both ill", "okx,gate", two(90, 90, binance={"warning": APART}), DOWN, COUNTS, BOTH),
]  # fmt: skip


async def hop_of(world: World, redis: Redis, reads: str | None, lines: Lines) -> Hop | None:
    if reads is not None:
        world.beats["venue_poller"] = {"state": "ok", "detail": "well", "venues": reads}
    await world.write(redis)
    async with round_trip(redis) as pipe:
        VENUE_LINES.put(pipe, lines(world))
    found = status(await read(redis), SETTINGS, "tests")
    return next((hop for hop in found.hops if hop.hop == "venues"), None)


@pytest.mark.parametrize(
    ("reads", "lines", "state", "counts", "cause"), [case[1:] for case in HOPS], ids=[case[0] for case in HOPS]
)
async def test_how_other_venues_stand(
    redis: Redis, reads: str | None, lines: Lines, state: str, counts: str, cause: str
) -> None:
    hop = await hop_of(World(), redis, reads, lines)
    assert hop is not None
    assert (hop.state, hop.counts, hop.cause) == (state, counts, cause)


@pytest.mark.parametrize(("reads", "lines"), [(None, lambda _: {}), ("", lambda w: {"okx": line(w, 9999)})])
async def test_there_is_a_hop_only_where_venues_are_read(redis: Redis, reads: str | None, lines: Lines) -> None:
    assert await hop_of(World(), redis, reads, lines) is None


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
