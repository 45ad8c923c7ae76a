"""The file itself: made, brought up to date, and refused with its reason when it is not ours to touch."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import Reading, Writer
from shared.errors import Refused, Transient
from shared.history.block import Row
from shared.history.file import APPLICATION, DAY_MS, MINUTE_MS, VERSION, Series, file_faults, integrity, open_to_read
from shared.history.read import rows_of, series_of
from tests.builders import NOW_MS

FILES = Path(__file__).parent / "files"
DAY = 20_424
BTC = Series("BTCUSDT", 1_567_965_420_000)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def a_file(path: str) -> None:
    db = open_to_write(path)
    Writer(db).add([Reading(BTC, Row(NOW_MS, "1.0", None))])
    db.close()


def test_a_file_of_the_first_version_is_brought_to_this_one_with_all_that_is_in_it(path: str) -> None:
    shutil.copy(FILES / "history-1.db", path)
    open_to_write(path).close()
    db = open_to_read(path)
    start = DAY * DAY_MS
    new, old = (number for number, _ in series_of(db, "BTCUSDT"))
    ((other, _),) = series_of(db, "龙虾USDT")
    minutes = [Row(start + 3000 + n * MINUTE_MS, f"{82345 + n}.120", f"93041.{35_202_390 + n}") for n in range(1440)]

    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert rows_of(db, old, 0, 10**14) == minutes
    assert rows_of(db, old, 0, 10**14, 300) == minutes[::5]
    assert rows_of(db, other, 0, 10**14) == [Row(start + 3000 + n * 7 * MINUTE_MS, f"{n}.5", None) for n in range(100)]
    assert rows_of(db, new, 0, 10**14) == [
        Row(start + DAY_MS + 5000 + n * MINUTE_MS, str(n + 1), f"1.0{n}") for n in range(10)
    ]
    db.close()
    assert integrity(path) == []


def newer(path: str) -> None:
    a_file(path)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()


def of_another(path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE notes (text TEXT)")
    db.close()


def no_database(path: str) -> None:
    Path(path).write_bytes(b"not a database, " * 600)


def torn(path: str) -> None:
    a_file(path)
    with Path(path).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3996)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (newer, f"of version {VERSION + 1}, and this release knows {VERSION}"),
        (of_another, "a database of another program"),
        (no_database, "the file is damaged, and left as it is"),
        (torn, "the file is damaged, and left as it is"),
    ],
)
def test_what_is_not_ours_to_write_is_named_and_left_as_it_is(
    path: str, spoil: Callable[[str], None], says: str
) -> None:
    spoil(path)
    before = Path(path).read_bytes()

    with pytest.raises(Refused, match=f"HISTORY_PATH={path}: .*{says}"):
        open_to_write(path)
    with pytest.raises(Refused, match=f"HISTORY_PATH={path}: .*{says}"):
        open_to_read(path)
    assert Path(path).read_bytes() == before


def test_a_file_or_folder_that_is_not_there_is_named(path: str) -> None:
    with pytest.raises(Refused, match="no such file; oi_keeper makes it"):
        open_to_read(path)
    with pytest.raises(Refused, match="unable to open"):
        open_to_write(f"{path}/nowhere/history.db")


def test_a_path_that_cannot_even_be_looked_at_is_named(path: str) -> None:
    """As a folder that is another user's; here the name is too long."""
    with pytest.raises(Refused, match=r"HISTORY_PATH=.*: File name too long"):
        open_to_read(path + "x" * 300)


def test_an_upgrade_that_fails_leaves_the_version_before(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.oi_keeper.schema.STEPS", ("CREATE TABLE series (id); CREATE TABLE series (id);",))
    with pytest.raises(Refused, match="already exists"):
        open_to_write(path)
    monkeypatch.undo()

    a_file(path)
    assert integrity(path) == []


def test_a_full_disk_stops_the_writes_and_not_the_answers(path: str) -> None:
    """SQLite's own limit answers as the disk would."""
    db = open_to_write(path)
    writer = Writer(db)
    writer.add([Reading(BTC, Row(NOW_MS, "1.0", None))])
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    many = [Reading(Series(f"S{n}USDT", 0), Row(NOW_MS + MINUTE_MS, "1.0", None)) for n in range(500)]

    with pytest.raises(Transient, match="the disk is full"), file_faults(path):
        writer.add(many)
    reader = open_to_read(path)
    assert rows_of(reader, writer.numbers[BTC], 0, 10**14) == [Row(NOW_MS, "1.0", None)]
    db.execute(f"PRAGMA max_page_count = {10 * pages}")
    assert writer.add(many) == 500
    assert len(rows_of(reader, writer.numbers[many[7].series], 0, 10**14)) == 1
    reader.close()
    db.close()


def test_a_reader_sees_what_is_written_and_the_whole_file_can_be_checked_meanwhile(path: str) -> None:
    db = open_to_write(path)
    writer, reader = Writer(db), open_to_read(path)
    writer.add([Reading(BTC, Row(NOW_MS, "1.0", None))])

    assert len(rows_of(reader, 1, 0, 10**14)) == 1
    assert integrity(path) == []
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM minute")
    copy = f"{path}.copy"
    reader.execute("VACUUM INTO ?", (copy,))
    reader.close()
    db.close()
    assert integrity(copy) == []
    again = open_to_read(copy)
    assert len(rows_of(again, 1, 0, 10**14)) == 1
    again.close()


def test_a_page_that_was_hurt_is_found_by_the_check(path: str) -> None:
    shutil.copy(FILES / "history-1.db", path)
    open_to_write(path).close()
    size = Path(path).stat().st_size
    with Path(path).open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 512)

    assert integrity(path) != []


def test_the_page_tells_the_numbers_that_mark_a_recovered_file_as_ours() -> None:
    page = (Path(__file__).parents[2] / "docs/history.md").read_text()

    assert f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};" in page
