"""``oi history`` and ``oi export``: the keeper's file, read and shown. It is never written to."""

from __future__ import annotations

import contextlib
import csv
import re
import sqlite3
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from cli.history import BLOCKS
from cli.show import EXIT, GOOD, NONE, UNKNOWN, money
from cli.spelling import spellings
from shared.clock import from_iso, iso
from shared.errors import Refused, SettingsError, Transient
from shared.history.block import Row
from shared.history.file import DAY_MS, all_series, file_faults, open_to_read
from shared.history.read import rows_of, series_of

HEIGHT = 10  # lines of a drawing
UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
STEPS_S = (60, 300, 900, 3600, 14_400, 86_400)
MOST_ROWS = 2016  # a week of five minutes
FORMATS = (".csv", ".parquet")
COLUMNS = ("symbol", "listed_at", "received_at", "open_interest", "mark_price", "source")


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One row; numbers in the exchange's own decimal text. ``source``: seen, or the exchange's statistic."""

    received_at: str
    open_interest: str
    mark_price: str | None
    source: str


class Past(msgspec.Struct, frozen=True, rename="camel"):
    """Rows of one series from an instant on, oldest first. Empty ``symbol``: nobody has that name."""

    symbol: str
    listed_at: str
    since: str
    step_seconds: int
    rows: list[Line]

    @property
    def exit_status(self) -> int:
        return EXIT[GOOD] if self.rows else EXIT[UNKNOWN]


class Span(NamedTuple):
    from_ms: int
    to_ms: int


def since_ms(text: str) -> int:
    """``90m``, ``24h``, ``7d``, ``2w`` -> ms; `SettingsError` for anything else."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text, re.ASCII)
    if found is None:
        raise SettingsError(f"--since {text!r:.40}: must be a number and m, h, d or w, such as 24h")
    return int(found[1]) * UNITS_MS[found[2]]


def step_s(span_ms: int) -> int:
    """The finest step that keeps the rows within bounds."""
    return next((step for step in STEPS_S if span_ms // (step * 1000) <= MOST_ROWS), STEPS_S[-1])


def read(path: str, symbol: str, span: Span) -> Past:
    """The newest series of this name. Raises `SettingsError` where the file cannot be read."""
    step = step_s(span.to_ms - span.from_ms)
    with _opened(path) as db:
        found = next((found for name in spellings(symbol) if (found := series_of(db, name))), None)
        if found is None:
            return Past("", "", iso(span.from_ms), step, [])
        number, series = found[0]
        rows = rows_of(db, number, span.from_ms, span.to_ms, step)
    return Past(series.symbol, iso(series.onboard_ms), iso(span.from_ms), step, [_line(row) for row in rows])


@contextlib.contextmanager
def _opened(path: str) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(open_to_read(path)) as db, file_faults(path):
            yield db
    except (Refused, Transient) as e:
        raise SettingsError(str(e)) from e


def _line(row: Row) -> Line:
    return Line(iso(row.received_ms), row.contracts, row.mark, "seen" if row.ours else "exchange")


def draw(past: Past, width: int) -> list[str]:
    """Contracts over time, as high as they moved; a column without a row stays blank."""
    levels = [float(line.open_interest) for line in past.rows]
    low, high = min(levels), max(levels)
    labels = [money(high), *[""] * (HEIGHT - 2), money(low)]
    margin = max(len(label) for label in labels) + 1
    heights = _heights(past, max(1, width - margin), low, high)
    lines = []
    for n, label in enumerate(labels):
        below = (HEIGHT - 1 - n) * len(BLOCKS)
        lines.append(label.rjust(margin - 1) + " " + "".join(_cell(height, below) for height in heights))
    return [line.rstrip() for line in lines]


def _heights(past: Past, columns: int, low: float, high: float) -> list[int | None]:
    """Of each column the eighths of a line that are filled, at least one; None: no row."""
    times = [line.received_at for line in past.rows]
    first, last = (from_iso(at) for at in (times[0], times[-1]))
    span = max(1, last - first)
    heights: list[int | None] = [None] * columns
    for line in past.rows:
        share = (float(line.open_interest) - low) / (high - low) if high > low else 0.0
        column = min(columns - 1, (from_iso(line.received_at) - first) * columns // span)
        heights[column] = 1 + round(share * (HEIGHT * len(BLOCKS) - 1))
    return heights


def _cell(height: int | None, below: int) -> str:
    if height is None or height <= below:
        return " "
    return BLOCKS[min(len(BLOCKS), height - below) - 1]


def summary(past: Past) -> str:
    """What is drawn, in one line. Its newest row may be a step old, or of when the keeper ended."""
    first, last = past.rows[0], past.rows[-1]
    change = Decimal(last.open_interest) / Decimal(first.open_interest) - 1 if Decimal(first.open_interest) else None
    moved = NONE if change is None else f"{change:+.2%}"
    told = sum(line.source == "exchange" for line in past.rows)
    source = f", {told} the exchange's" if told else ""
    since, until = (f"{row.received_at[:16]}Z" for row in (first, last))
    rows = f"{len(past.rows)} rows{source}"
    return f"{past.symbol}  {last.open_interest} contracts at {until}, {moved} since {since}; {rows}"


def write_csv(out: IO[str], lines: Iterable[tuple[str | None, ...]]) -> int:
    """With a head; returns how many rows."""
    writer, count = csv.writer(out, lineterminator="\n"), 0
    writer.writerow(COLUMNS)
    for line in lines:
        writer.writerow(["" if value is None else value for value in line])
        count += 1
    return count


def as_csv(past: Past) -> Iterator[tuple[str | None, ...]]:
    return ((past.symbol, past.listed_at, *msgspec.structs.astuple(line)) for line in past.rows)


def day_of(text: str) -> Span:
    """A day of UTC; `SettingsError` for what is none."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) is None:
            raise ValueError(text)
        start_ms = from_iso(f"{text}T00:00:00+00:00")
    except ValueError:
        raise SettingsError(f"--day {text!r:.40}: must be a day of UTC such as 2026-11-25") from None
    return Span(start_ms, start_ms + DAY_MS)


def export(path: str, span: Span, to: Path) -> int:
    """Every series of a day into one file; returns how many rows. Parquet needs pyarrow."""
    suffix = to.suffix.lower()
    if suffix not in FORMATS:
        raise SettingsError(f"--to {to}: must end in {' or '.join(FORMATS)}")
    with _opened(path) as db:
        lines = _all_lines(db, span)
        if suffix == ".parquet":
            return _write_parquet(to, lines)
        with to.open("w", encoding="utf-8", newline="") as out:
            return write_csv(out, lines)


def _all_lines(db: sqlite3.Connection, span: Span) -> Iterator[tuple[str | None, ...]]:
    for number, series in sorted(all_series(db).items(), key=lambda item: item[1]):
        for row in rows_of(db, number, span.from_ms, span.to_ms):
            yield series.symbol, iso(series.onboard_ms), *msgspec.structs.astuple(_line(row))


def _write_parquet(to: Path, lines: Iterator[tuple[str | None, ...]]) -> int:
    """Numbers and times stay text, so that no decimal is rounded."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SettingsError(f"{to}: a Parquet file needs pyarrow (pip install pyarrow); a CSV needs nothing") from None
    rows = list(lines)
    columns = {name: [row[n] for row in rows] for n, name in enumerate(COLUMNS)}
    parquet.write_table(pyarrow.table(columns, pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])), to)
    return len(rows)
