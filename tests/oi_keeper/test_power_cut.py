"""The file after a power cut: what the disk was told to keep is whole, and of anything else any part may be there.

SQLite orders its writes by fsync, and so are they cut here: a commit adds to the WAL, and where that is begun anew its
head is synced before the rest; a checkpoint then writes to the file itself what the WAL holds. Bytes that were not yet
synced are of before or of after, zeros or anything, sector by sector; the end may be missing.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import OPEN_MS, Reading, Writer
from shared.history.block import Row
from shared.history.file import DAY_MS, MINUTE_MS, Series, integrity

DAY = 20_424
START_MS = (DAY + 1) * DAY_MS - 30 * MINUTE_MS
SERIES = [Series(f"S{n}USDT", 0) for n in range(30)]
HEAD, SECTOR, PAGE = 32, 512, 4096
TABLES = ("series", "minute", "day", "statistic", "asked")
FULL = 2
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk is waited for: what one leaves is made up here
Content = dict[str, list[tuple[Any, ...]]]


@dataclass
class State:
    """After a commit: both files, and what a reader finds in them."""

    file: bytes = field(repr=False)
    wal: bytes = field(repr=False)
    content: Content = field(repr=False)


def content(db: sqlite3.Connection) -> Content:
    return {table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in TABLES[:3]} | {
        table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES[3:]
    }


class Watched(Writer):
    def __init__(self, db: sqlite3.Connection, path: str) -> None:
        super().__init__(db)
        self._path = Path(path)
        self.states: list[State] = []
        self.look()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with super()._transaction():
            yield
        self.look()

    def look(self) -> None:
        file, wal = self._path.read_bytes(), Path(f"{self._path}-wal").read_bytes()
        self.states.append(State(file, wal, content(self.db)))


@pytest.fixture(scope="module")
def states() -> list[State]:
    """Of an hour over midnight, with what the exchange told beside, and the day that becomes blocks."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, contextlib.closing(open_to_write(f"{folder}/h.db")) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (FULL,), "else a commit is not synced"
        db.execute("PRAGMA wal_autocheckpoint = 30")  # pages; the keeper waits for a thousand
        writer = Watched(db, f"{folder}/h.db")
        for minute in range(60):
            at_ms = START_MS + minute * MINUTE_MS + 3000
            writer.add(Reading(series, Row(at_ms, f"{minute}.5", "1.25")) for series in SERIES)
            told = [Row(at_ms - n * 3_600_000, f"{n}.1", None, ours=False) for n in range(20)]
            writer.told(SERIES[minute % len(SERIES)], told, at_ms)
        writer.fold(DAY)
        writer.let_go((DAY + 1) * DAY_MS + OPEN_MS)
        return writer.states


def torn(before: bytes, after: bytes, unit: int, draw: random.Random) -> bytes:
    """What may stand on the disk of a write that was not synced. Units that agree were not written, and stay."""
    before = before.ljust(len(after), b"\0")
    units = [at for at in range(0, len(after), unit) if before[at : at + unit] != after[at : at + unit]]
    if not units:
        return after
    disk = bytearray(after)
    for at in units:
        size = len(after[at : at + unit])
        begin = at + next(n for n in range(size) if before[at + n] != after[at + n])  # what is before it was synced
        old, new = before[begin : at + size], after[begin : at + size]
        disk[begin : at + size] = draw.choice((old, new, new, bytes(len(new)), draw.randbytes(len(new))))
    cut = draw.randint(units[0], len(after)) if draw.random() < 0.5 else len(after)
    disk[cut:] = before[cut:]  # of what is behind nothing was written
    return bytes(disk)


def wal_cut(before: State, after: State, draw: random.Random) -> bytes:
    begun_anew = before.wal[:HEAD] != after.wal[:HEAD]
    if begun_anew and draw.random() < 0.3:
        return torn(before.wal[:HEAD], after.wal[:HEAD], 1, draw) + before.wal[HEAD:]
    wal = after.wal[:HEAD] + torn(before.wal[HEAD:], after.wal[HEAD:], SECTOR, draw)
    longer = len(after.wal) > len(before.wal) and draw.random() < 0.5
    return wal[: draw.randint(len(before.wal), len(after.wal))] if longer else wal


def cut(before: State, after: State, draw: random.Random) -> tuple[bytes, bytes, Content]:
    """Both files as they may stand after a power cut between two states, and what must be in them at least."""
    if before.file != after.file and draw.random() < 0.5:  # the commit is on the disk, and a checkpoint is under way
        return torn(before.file, after.file, PAGE, draw), after.wal, after.content
    return before.file, wal_cut(before, after, draw), before.content


def found_in(file: bytes, wal: bytes) -> Content:
    """What the keeper finds when it starts again; the file must be sound, and take the next row."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = f"{folder}/h.db"
        Path(path).write_bytes(file)
        Path(f"{path}-wal").write_bytes(wal)
        with contextlib.closing(open_to_write(path)) as db:
            found = content(db)
            assert integrity(path) == []
            assert Writer(db).add([Reading(SERIES[0], Row(START_MS + DAY_MS, "7.5", None))]) == 1
            assert integrity(path) == []
    return found


@settings(max_examples=200, deadline=None)
@given(which=st.integers(1, 10_000), seed=st.integers(0, 2**32))
def test_what_was_acknowledged_outlives_a_power_cut_and_nothing_is_invented(
    states: list[State], which: int, seed: int
) -> None:
    n = 1 + which % (len(states) - 1)
    before, after = states[n - 1], states[n]
    file, wal, least = cut(before, after, random.Random(seed))

    assert found_in(file, wal) in (least, after.content)


def test_a_commit_that_is_not_synced_could_be_lost(states: list[State]) -> None:
    """With ``synchronous = NORMAL`` only a checkpoint syncs: what was acknowledged since may be missing."""
    n = next(n for n in range(3, len(states)) if states[n].wal[:HEAD] == states[n - 2].wal[:HEAD])
    before, acknowledged = states[n - 2], states[n - 1]

    assert found_in(before.file, before.wal) == before.content != acknowledged.content


def test_every_part_of_the_files_life_is_cut(states: list[State]) -> None:
    """Commits, checkpoints, a WAL begun anew, blocks made and rows let go."""
    pairs = [(states[n - 1], states[n]) for n in range(1, len(states))]
    assert sum(before.file != after.file for before, after in pairs) > 5
    assert sum(before.wal[:HEAD] != after.wal[:HEAD] for before, after in pairs) > 5
    assert len(states[-1].content["day"]) == 2 * len(SERIES)
    assert len(states[-1].content["minute"]) == 30 * len(SERIES)
