"""The live table: the same rows on a small screen and on a large one, and what each key does."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from rich.cells import cell_len
from rich.console import Console

from cli.history import History
from cli.settings import find
from cli.state import read
from cli.status import Status, status
from cli.table import COLUMNS, Row, Screen, View, chosen, press, rows, spark_width, widths
from cli.top import KEYS, Latest, split
from shared.ban import ban_key
from shared.changes import changes
from shared.history.block import Row as Seen
from shared.store import CHANGES, round_trip
from tests.cli.world import World

SETTINGS = find({"REDIS_URL": "redis://h"}).settings


async def shown(world: World, redis: Redis) -> tuple[list[Row], Status]:
    seen = await world.seen(redis)
    return rows(seen, SETTINGS, History(), 8), status(seen, SETTINGS, "a test")


def screen(table: list[Row], found: Status, width: int, height: int, view: View | None = None) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(Screen(table, view or View(), found, ""), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (60, 6), (120, 30)])
async def test_a_frame_fills_the_screen_and_no_more(redis: Redis, width: int, height: int) -> None:
    world = World((*(f"S{n}USDT" for n in range(100)), "龙虾龙虾龙虾龙虾USDT"))
    lines = screen(*await shown(world, redis), width, height)

    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


async def test_a_row_shows_what_is_served_and_a_missing_one_why(redis: Redis) -> None:
    world = World()
    world.left_out = {"ETHUSDT": "stale_mark"}
    world.served.pop("ETHUSDT")
    text = "\n".join(screen(*await shown(world, redis), 100, 24))

    assert [line.split()[:4] for line in text.splitlines() if line.startswith("BTC")] == [
        ["BTCUSDT", "100K", "1.00K", "100.000"]
    ]
    eth = next(line for line in text.splitlines() if line.startswith("ETH"))
    assert " – " in eth
    assert "stale_mark" in eth
    assert "0.00" not in eth.replace("100.000", "")


async def test_changes_of_a_day_are_the_keeper_s_and_those_of_long_ago_are_none(redis: Redis) -> None:
    world = World()
    await world.write(redis)
    ms = world.now_ms
    bases = {"4h": Seen(ms - 14_400_000, "100", None), "7d": Seen(ms - 604_800_000, "400", None)}
    async with round_trip(redis) as pipe:
        CHANGES.put(pipe, {"BTCUSDT": changes(Seen(ms, "200", None), bases)})
        CHANGES.put(pipe, {"ETHUSDT": changes(Seen(ms - 181_000, "200", None), bases)})
    seen = await read(redis)
    table = {row.symbol: row for row in rows(seen, SETTINGS, History(), 8)}

    assert [table["BTCUSDT"].change_4h, table["BTCUSDT"].change_24h, table["BTCUSDT"].change_7d] == [1.0, None, -0.5]
    assert [table["ETHUSDT"].change_4h, table["ETHUSDT"].change_7d] == [None, None]
    wide, narrow = (screen(list(table.values()), status(seen, SETTINGS, ""), width, 24) for width in (125, 124))
    assert "+100.0" in "".join(wide)
    assert "Δ7d%" in "".join(wide)
    assert "Δ7d%" not in "".join(narrow)


def ghost(world: World) -> None:
    world.universe.remove("SOLUSDT")
    world.served["SOLUSDT"] = "ghost"


VERDICTS: list[tuple[str, Callable[[World], object], str, str]] = [
    ("well", lambda _: None, "verified", "good"),
    ("not read back", lambda w: w.beats["publisher"].update(verdict="UNVERIFIED"), "unverified", "degraded"),
    ("verified long ago", lambda w: setattr(w, "batch_age_s", 3600), "verified", "degraded"),  # `oi status` says down
    ("nobody audits", lambda w: w.beats["publisher"].update(verdict="UNAUDITED"), "", "unknown"),
    ("served besides the universe", ghost, "ghost", "degraded"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "verdict", "state"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
async def test_a_row_is_good_only_while_it_is_verified(
    redis: Redis, spoil: Callable[[World], object], verdict: str, state: str
) -> None:
    world = World()
    spoil(world)
    row = next(row for row in (await shown(world, redis))[0] if row.symbol == "SOLUSDT")
    assert (row.verdict, row.state, row.usd is None) == (verdict, state, state == "unknown")


def test_the_arrow_of_the_order_fits_beside_every_title() -> None:
    """Over `contracts` there was none."""
    assert [column.title for column in COLUMNS if len(column.title) >= column.width] == []


@given(st.integers(20, 400))
def test_columns_fit_whatever_the_width(total: int) -> None:
    fitted = widths(total)
    if total >= 80:
        assert sum(width + 1 for _, width in fitted) - 1 <= total
    assert all(width >= column.width for column, width in fitted)
    assert spark_width(total) >= 6


@given(st.lists(st.tuples(st.none() | st.floats(-1, 1), st.none() | st.floats(0, 1e12))), st.booleans())
def test_what_is_not_known_stands_last_whichever_way(
    values: list[tuple[float | None, float | None]], down: bool
) -> None:
    table = [Row(f"S{n}", usd, 1, 1, 0, change, 0, 0, 1, "", "good") for n, (change, usd) in enumerate(values)]
    for sort, name in ((1, "usd"), (5, "change_5m")):
        ordered = [getattr(row, name) for row in chosen(table, View(sort=sort, down=down))]
        known = [value for value in ordered if value is not None]
        assert ordered == known + [None] * (len(ordered) - len(known))
        assert known == sorted(known, reverse=down)


PRESSED = sorted({*KEYS.values(), *"/rqsxé"})


@given(st.lists(st.sampled_from(PRESSED)), st.integers(0, 500))
def test_no_key_leads_off_the_table(pressed: list[str], count: int) -> None:
    view = View()
    for key in pressed:
        view = press(view, key, 20, count)
        assert 0 <= view.top <= max(0, count - 20)
        assert 0 <= view.sort < len(COLUMNS)


def test_a_filter_is_typed_and_taken_back() -> None:
    view = View()
    for key in "/ethq":
        view = press(view, key, 20, 100)
    assert (view.pattern, view.typing, view.left) == ("ETHQ", True, False)
    view = press(press(view, "back", 20, 100), "enter", 20, 100)
    assert (view.pattern, view.typing) == ("ETH", False)
    assert press(view, "esc", 20, 100).pattern == ""
    assert press(view, "q", 20, 100).left


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("\x1b[A", ["up"]),
        ("\x1b[6~j", ["pgdn", "j"]),
        ("\x1b[1~\x1b[4~", ["home", "end"]),  # of tmux and screen
        ("e\x08", ["e", "back"]),
        ("\x1b", ["esc"]),
        ("\x1b[15~q", ["q"]),
        ("/é\r", ["/", "é", "enter"]),
    ],
)
def test_a_terminals_sequences_are_keys(typed: str, keys: list[str]) -> None:
    assert list(split(typed)) == keys


@given(st.text())
def test_whatever_a_terminal_sends_ends(typed: str) -> None:
    assert len(list(split(typed))) <= len(typed)


async def test_a_ban_of_the_proxys_address_is_seen(redis: Redis) -> None:
    """Who goes through a proxy is banned under a key of its own."""
    given = find({"REDIS_URL": "redis://h", "BINANCE_PROXY": "http://proxy.test:3128"})
    world = World()
    await world.write(redis)
    await redis.set(ban_key(given.settings.egress), world.now_ms + 60_000)
    latest = Latest(redis, given)
    await latest.look(80)
    assert {hop.hop: hop.state for hop in latest.status.hops}["budget"] == "down"
