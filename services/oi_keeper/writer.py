"""What changes the file: rows are added, days that are over become blocks, what is older than is kept is let go.

Each change is one transaction and may be done twice: a process killed at any instant does it again when it is back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from shared.history.block import Row, encode
from shared.history.file import DAY_MS, EACH_FIVE_S, EACH_MINUTE_S, MINUTE_MS, Series, all_series
from shared.history.read import first_of_each, seen_of

MINUTES_KEPT_DAYS = 8
KEPT_DAYS = 400
OPEN_MS = 5 * 3_600_000  # a day is over so long after its end: sweeps come up to three hours late
DAY_MINUTES = 1440
_OLDEST = "DELETE FROM day WHERE step_s = ?1 AND day = (SELECT min(day) FROM day WHERE step_s = ?1) AND day < ?2"
_NEWEST = "DELETE FROM day WHERE step_s = ?1 AND day = (SELECT max(day) FROM day WHERE step_s = ?1) AND day > ?2"
AT_ONCE = 32  # series, or minutes, in one transaction


class Reading(NamedTuple):
    series: Series
    row: Row


class Writer:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.numbers = {series: number for number, series in all_series(db).items()}

    def add(self, readings: Iterable[Reading]) -> int:
        """Keep the first of each minute and series; returns how many are new."""
        told = list(readings)
        if not told:
            return 0
        with self._transaction():
            numbers = self._numbered({series for series, _ in told})
            rows = [(row.received_ms // MINUTE_MS, numbers[series], *row[:3]) for series, row in told]
            added = self.db.executemany("INSERT OR IGNORE INTO minute VALUES (?, ?, ?, ?, ?)", rows).rowcount
        self.numbers |= numbers
        return added

    def _numbered(self, wanted: set[Series]) -> dict[Series, int]:
        """Numbers of these series; those that are new get one."""
        numbers = {series: self.numbers[series] for series in wanted if series in self.numbers}
        for series in wanted - numbers.keys():
            self.db.execute("INSERT OR IGNORE INTO series (symbol, onboard_ms) VALUES (?, ?)", series)
            ask = "SELECT id FROM series WHERE symbol = ? AND onboard_ms = ?"
            numbers[series] = self.db.execute(ask, series).fetchone()[0]
        return numbers

    def asked(self) -> dict[Series, int]:
        """When the exchange was last asked for the statistic of each, Unix ms."""
        found = dict(self.db.execute("SELECT series, at_ms FROM asked"))
        return {series: found[number] for series, number in self.numbers.items() if number in found}

    def told(self, series: Series, rows: list[Row], now_ms: int) -> list[Row]:
        """Keep what the exchange told of its past, and that it was asked; returns our own rows of the same minutes.

        Of the last day: what is older was compared before.
        """
        with self._transaction():
            numbers = self._numbered({series})
            number = numbers[series]
            told = [(number, row.received_ms, row.contracts, row.mark) for row in rows]
            self.db.executemany("INSERT OR REPLACE INTO statistic VALUES (?, ?, ?, ?)", told)
            self.db.execute("INSERT OR REPLACE INTO asked VALUES (?, ?)", (number, now_ms))
        self.numbers |= numbers
        minutes = {row.received_ms // MINUTE_MS for row in rows}
        ours = seen_of(self.db, number, now_ms - DAY_MS, now_ms)
        return [row for row in ours if row.received_ms // MINUTE_MS in minutes]

    def over(self, now_ms: int) -> int | None:
        """The oldest day that is over and not yet in blocks."""
        oldest = self.db.execute("SELECT min(minute) FROM minute").fetchone()[0]
        if oldest is None or (oldest // DAY_MINUTES + 1) * DAY_MS + OPEN_MS > now_ms:
            return None
        return int(oldest // DAY_MINUTES)

    def fold(self, day: int) -> None:
        """Make blocks of a day's rows, then let go of the rows."""
        first, last = day * DAY_MINUTES, (day + 1) * DAY_MINUTES - 1
        between = "SELECT DISTINCT series FROM minute WHERE minute BETWEEN ? AND ?"
        numbers = [number for (number,) in self.db.execute(between, (first, last))]
        for part in _parts(numbers):
            with self._transaction():
                for number in part:
                    self._fold_series(number, day)
        for minute in range(first, last + 1, AT_ONCE):
            with self._transaction():
                until = min(last, minute + AT_ONCE - 1)
                self.db.execute("DELETE FROM minute WHERE minute BETWEEN ? AND ?", (minute, until))

    def _fold_series(self, number: int, day: int) -> None:
        """A day that has blocks already, of a clock that was set, keeps what is in them."""
        rows = seen_of(self.db, number, day * DAY_MS, (day + 1) * DAY_MS)
        for step_s, kept in ((EACH_MINUTE_S, rows), (EACH_FIVE_S, first_of_each(rows, EACH_FIVE_S))):
            row = (step_s, day, number, encode(kept))
            self.db.execute("INSERT OR REPLACE INTO day VALUES (?, ?, ?, ?)", row)

    def let_go(self, now_ms: int) -> None:
        """Of each step the oldest day, where it is kept no longer, and the newest, where it is later than tomorrow.

        What is kept of the future is of a clock that was ahead. A day, no more: a clock that is wrong now costs one.
        """
        today = now_ms // DAY_MS
        with self._transaction():
            self.db.execute("DELETE FROM minute WHERE minute >= ?", ((today + 2) * DAY_MINUTES,))
            for step_s, days in ((EACH_MINUTE_S, MINUTES_KEPT_DAYS), (EACH_FIVE_S, KEPT_DAYS)):
                self.db.execute(_OLDEST, (step_s, today - days))
                self.db.execute(_NEWEST, (step_s, today + 1))
            told = "DELETE FROM statistic WHERE at_ms < min(?, (SELECT min(at_ms) FROM statistic) + ?)"
            self.db.execute(told, ((today - KEPT_DAYS) * DAY_MS, DAY_MS))

    def oldest_ms(self) -> int:
        """When the oldest row was received, to the day where it is in a block; 0: there is none."""
        minute = self.db.execute("SELECT min(minute) FROM minute").fetchone()[0]
        day = self.db.execute("SELECT min(day) FROM day WHERE step_s = ?", (EACH_FIVE_S,)).fetchone()[0]
        return min((ms for ms in (minute and minute * MINUTE_MS, day and day * DAY_MS) if ms), default=0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise


def _parts(numbers: list[int]) -> Iterator[list[int]]:
    return (numbers[i : i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE))
