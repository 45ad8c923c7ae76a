"""`oi history` and `oi export`: what is drawn, printed and written of the keeper's file."""

from __future__ import annotations

import csv
import errno
import io
import json
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from cli import past
from cli.__main__ import main
from cli.past import HEIGHT, MOST_ROWS, Line, Past
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import Reading, Writer
from shared.clock import SystemClock, iso
from shared.errors import SettingsError
from shared.history.block import Row
from shared.history.file import DAY_MS, Series

NOW_MS = SystemClock().now_ms()
DAY = NOW_MS // DAY_MS


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of BTCUSDT in minutes, and one row of a week ago that the exchange told; 龙虾USDT has nothing lately."""
    path = tmp_path_factory.mktemp("kept") / "history.db"
    writer = Writer(open_to_write(str(path)))
    btc = Series("BTCUSDT", 5)
    writer.add(Reading(btc, Row(NOW_MS - n * 60_000, f"{1000 + n}.50", "93041.10")) for n in range(1, 61))
    writer.told(btc, [Row(NOW_MS - 6 * DAY_MS, "500.0", None, ours=False)], NOW_MS)
    writer.add([Reading(Series("龙虾USDT", 5), Row(NOW_MS - 3 * DAY_MS, "7", None))])
    writer.db.close()
    return path


@pytest.fixture
def env(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = shutil.copy(kept, tmp_path / "history.db")
    monkeypatch.setenv("REDIS_URL", "redis://h")
    monkeypatch.setenv("HISTORY_PATH", str(path))
    monkeypatch.setenv("COLUMNS", "100")
    return path


def test_it_is_drawn_with_what_it_is_drawn_of(env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "btc", "--since", "2h"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()

    newest, oldest = (f"{iso(NOW_MS - minutes * 60_000)[:16]}Z" for minutes in (1, 60))
    assert head.startswith(f"BTCUSDT  1001.50 contracts at {newest}, -5.56% since {oldest}; ")
    assert head.endswith("; 60 rows")
    assert len(lines) == HEIGHT
    assert max(map(len, lines)) <= 100
    assert (lines[0].split()[0], lines[-1].split()[0]) == ("1.06K", "1.00K")


@pytest.mark.parametrize("typed", ["BTCUSDT", "btc", " btcusdt ", "BTC-USDT", "btc/usdt", "BTC_USDT"])
def test_a_symbol_is_found_as_people_write_it(env: Path, typed: str) -> None:
    """As by `oi explain`: what one command takes, the next does."""
    assert past.read(str(env), typed, past.Span(NOW_MS - DAY_MS, NOW_MS)).symbol == "BTCUSDT"


def test_as_json_and_csv_it_is_every_row_with_its_digits_and_its_source(
    env: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "BTCUSDT", "--since", "7d", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["history", "BTCUSDT", "--since", "7d", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert (said["symbol"], said["stepSeconds"], said["listedAt"]) == ("BTCUSDT", 300, iso(5))
    assert said["rows"][0] == {
        "receivedAt": iso(NOW_MS - 6 * DAY_MS),
        "openInterest": "500.0",
        "markPrice": None,
        "source": "exchange",
    }
    assert 12 <= len(said["rows"]) - 1 <= 13
    assert [row["open_interest"] for row in rows] == [row["openInterest"] for row in said["rows"]]
    assert (rows[0]["mark_price"], rows[0]["source"], rows[-1]["source"]) == ("", "exchange", "seen")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["history", "NOPE"], "NOPE: nothing is kept of it"),
        (["history", "龙虾"], "龙虾USDT: nothing is kept of that time"),
        (["history", "BTC", "--since", "soon"], "--since 'soon': must be a number and m, h, d or w"),
        (["export", "--day", "2026-13-01", "--to", "x.csv"], "--day '2026-13-01': must be a day of UTC"),
        (["export", "--day", "2026-11-25", "--to", "/nowhere/x.csv"], "--to /nowhere/x.csv: No such file"),
        (["export", "--day", "2026-11-25", "--to", "x.parqet"], "oi: --to x.parqet: must end in .csv or .parquet"),
        (["export", "--day", "2026-11-25", "--to", "x"], "oi: --to x: must end in .csv or .parquet"),
    ],
)
def test_where_there_is_nothing_it_is_said(
    env: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert main(argv) == 3
    said = capsys.readouterr()
    assert says in said.out + said.err


def test_a_file_that_cannot_be_read_is_named(env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env.write_bytes(b"no database" * 1000)
    assert main(["history", "BTC"]) == 3
    assert f"oi: HISTORY_PATH={env}: the file is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["history", "BTC"], ["export", "--day", iso(NOW_MS)[:10], "--to", "x.csv"]])
def test_a_block_that_was_hurt_is_named(
    env: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.chdir(env.parent)
    db = open_to_write(str(env))
    db.execute("INSERT INTO day VALUES (60, ?, 1, x'00')", (DAY,))
    db.close()
    assert main(argv) == 3
    assert f"oi: HISTORY_PATH={env}: the file is damaged" in capsys.readouterr().err


def test_a_folder_that_this_user_may_not_enter_is_named(
    env: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an ordinary user finds what systemd keeps for the services: a traceback, with the status of 'degraded'."""
    monkeypatch.setattr(Path, "stat", forbidden)
    assert main(["history", "BTC"]) == 3
    assert capsys.readouterr().err == f"oi: HISTORY_PATH={env}: Permission denied\n"


def forbidden(*_: object, **__: object) -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_day_of_every_series_goes_into_one_file(env: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = env.with_name("day.csv")
    days = {day: iso(day * DAY_MS)[:10] for day in (DAY - 6, DAY - 3)}
    assert main(["export", "--day", days[DAY - 3], "--to", str(to)]) == 0
    assert to.read_text().splitlines() == [
        "symbol,listed_at,received_at,open_interest,mark_price,source",
        f"龙虾USDT,{iso(5)},{iso(NOW_MS - 3 * DAY_MS)},7,,seen",
    ]
    assert main(["export", "--day", days[DAY - 6], "--to", str(to)]) == 0
    assert to.read_text().splitlines()[1:] == [f"BTCUSDT,{iso(5)},{iso(NOW_MS - 6 * DAY_MS)},500.0,,exchange"]
    assert main(["export", "--day", "2001-01-01", "--to", str(to)]) == 3


def test_a_day_as_parquet_is_the_same_text_as_the_csv(env: Path) -> None:
    """Decimals as the exchange told them, and nothing in place of a price that was not known."""
    day = iso((DAY - 3) * DAY_MS)[:10]
    text, packed = env.with_name("day.csv"), env.with_name("day.parquet")
    assert main(["export", "--day", day, "--to", str(text)]) == main(["export", "--day", day, "--to", str(packed)]) == 0
    table = parquet.read_table(packed)

    with text.open(encoding="utf-8", newline="") as lines:
        assert [{name: value or "" for name, value in row.items()} for row in table.to_pylist()] == list(
            csv.DictReader(lines)
        )
    assert table.column("open_interest").to_pylist() == ["7"]
    assert table.column("mark_price").to_pylist() == [None]
    assert {str(kind) for kind in table.schema.types} == {"string"}


def test_parquet_without_pyarrow_says_what_is_missing(
    env: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["export", "--day", "2026-11-25", "--to", str(env.with_name("day.parquet"))]) == 3
    assert "needs pyarrow" in capsys.readouterr().err


@given(st.integers(1, 99_999), st.sampled_from("mhdw"))
def test_any_span_has_a_step_that_keeps_the_rows_few(count: int, unit: str) -> None:
    span_ms = past.since_ms(f"{count}{unit}")
    step_ms = past.step_s(span_ms) * 1000
    assert span_ms // step_ms <= MOST_ROWS or step_ms == DAY_MS


@given(st.text(max_size=8))
def test_any_text_is_a_span_or_refused(text: str) -> None:
    try:
        assert past.since_ms(text) > 0
    except SettingsError:
        assert text not in {"24h", "7d"}


levels = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), min_size=1, max_size=60)


@given(levels, st.integers(20, 200))
def test_a_drawing_fits_and_a_gap_in_it_is_blank(told: list[tuple[int, int]], width: int) -> None:
    rows = [Line(iso(NOW_MS + at * 1000), f"{level}", None, "seen") for at, level in sorted(set(told))]
    lines = past.draw(Past("X", "", "", 60, rows), width)

    assert len(lines) == HEIGHT
    assert max(map(len, lines)) <= width
    drawn = {column for line in lines for column, sign in enumerate(line) if sign in past.BLOCKS}
    assert 1 <= len(drawn) <= len(rows)


def test_the_newest_row_stands_at_the_right_edge_the_highest_fills_its_column() -> None:
    rows = [Line(iso(NOW_MS + n * 60_000), level, None, "seen") for n, level in enumerate(("0", "80", "40"))]
    lines = past.draw(Past("X", "", "", 60, rows), 12)

    assert lines[0] == "80.0    █"
    assert lines[4] == "        █  ▁"
    assert lines[5] == "        █  █"
    assert lines[-1] == "0.00 ▁  █  █"
