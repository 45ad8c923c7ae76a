"""A month of 341 symbols through the keeper's own writer, at speed, and what the file then answers.

Contracts and prices walk at random, in as many digits as the stand-in's market has. Of the days of which the file keeps
each five minutes and no more, no more is written; of the last nine each minute. CPU is that of this process, while the
writer or a reader is at work; nothing waits for the disk.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Sequence

from bench.results import Results
from dev.exchange.market import Book
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.teller import bases_of
from services.oi_keeper.writer import MINUTES_KEPT_DAYS, Reading, Writer
from shared.history.block import Row
from shared.history.file import DAY_MS, EACH_FIVE_S, EACH_MINUTE_S, MINUTE_MS, Series, integrity, open_to_read
from shared.history.read import rows_of

DAYS, HOURS, HOUR_MS = 30, 168, 3_600_000
QUESTIONS = 15
MARK_STEP, CONTRACTS_STEP = 0.0008, 0.0015  # of a minute, as a fraction: 3 % and 6 % a day


class Walker:
    """One symbol's contracts, which a quiet one changes seldom, and its mark price."""

    def __init__(self, series: Series, book: Book, draw: random.Random) -> None:
        self.series, self._draw = series, draw
        self._contracts, self._mark = book.contract.start_oi, book.contract.start_mark
        self._decimals, self._offset_ms = book.contract.quantity_decimals, book.phase_ms % 9000
        self._moves = min(1.0, MINUTE_MS / book.oi_every_ms)
        self._text = f"{self._contracts:.{self._decimals}f}"

    def reading(self, at_ms: int) -> Reading:
        self._mark *= 1 + MARK_STEP * (self._draw.random() - 0.5)
        if self._draw.random() < self._moves:
            self._contracts *= 1 + CONTRACTS_STEP * (self._draw.random() - 0.5)
            self._text = f"{self._contracts:.{self._decimals}f}"
        return Reading(self.series, Row(at_ms + self._offset_ms, self._text, f"{self._mark:.8f}"))


class Month:
    """Ends at ``now_ms``; every figure goes into the notes of ``results``, the two with a limit into its rows."""

    def __init__(self, path: str, walkers: Sequence[Walker], now_ms: int, results: Results) -> None:
        self._path, self._walkers, self._now_ms, self._results = path, walkers, now_ms, results

    def write(self, told: int) -> None:
        """The month, and of the first ``told`` series the hours of a week, as the exchange tells them."""
        with contextlib.closing(open_to_write(self._path)) as db:
            db.execute("PRAGMA synchronous = OFF")
            writer = Writer(db)
            self._write_rows(writer)
            last_ms = self._now_ms // HOUR_MS * HOUR_MS
            for walker in self._walkers[:told]:
                rows = [walker.reading(last_ms - n * HOUR_MS).row for n in reversed(range(HOURS))]
                writer.told(walker.series, [row._replace(ours=False) for row in rows], self._now_ms)

    def _write_rows(self, writer: Writer) -> None:
        minutes_ms, adds, folds = self._now_ms - (MINUTES_KEPT_DAYS + 1) * DAY_MS, list[float](), list[float]()
        at_ms = (self._now_ms // DAY_MS - DAYS) * DAY_MS
        while at_ms <= self._now_ms - MINUTE_MS:
            readings = [walker.reading(at_ms) for walker in self._walkers]
            adds.append(_cpu_s(writer.add, readings))
            while (day := writer.over(at_ms)) is not None:
                folds.append(_cpu_s(writer.fold, day))
                writer.let_go(at_ms)
            at_ms += MINUTE_MS if at_ms >= minutes_ms else EACH_FIVE_S * 1000
        self._note("CPU to keep one minute, ms", statistics.median(adds) * 1000)
        self._note("CPU to make blocks of a day, s", max(folds))

    def ask(self) -> None:
        now_ms = self._now_ms
        with contextlib.closing(open_to_read(self._path)) as db:
            size, count = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count"))
            self._note("size, MB", size * count / 1e6)
            for step_s in (EACH_MINUTE_S, EACH_FIVE_S):
                mean = db.execute("SELECT avg(length(rows)) FROM day WHERE step_s = ?", (step_s,)).fetchone()[0]
                self._note(f"a symbol-day as a block, a row each {step_s} s, kB", mean / 1000)
            week = _middle_ms(rows_of, db, 1, now_ms - 7 * DAY_MS, now_ms, EACH_FIVE_S)
            self._note("a week of one symbol at 5 min, CPU ms", week)
            self._note("a day of one symbol at 1 min, CPU ms", _middle_ms(rows_of, db, 1, now_ms - DAY_MS, now_ms))
        self._note("all symbols against the rows of before, CPU ms", _middle_ms(bases_of, self._path, now_ms))
        self._note("integrity_check, CPU s", _cpu_s(self._check))

    def _check(self) -> None:
        if found := integrity(self._path):
            raise RuntimeError(f"the file of a month is not sound: {found}")

    def _note(self, what: str, value: float) -> None:
        self._results.notes[f"a month in the file: {what}"] = float(f"{value:.3g}")


def _cpu_s(work: Callable[..., object], *args: object) -> float:
    begun_s = time.process_time()
    work(*args)
    return time.process_time() - begun_s


def _middle_ms(work: Callable[..., object], *args: object) -> float:
    return statistics.median(_cpu_s(work, *args) for _ in range(QUESTIONS)) * 1000
