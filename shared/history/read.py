"""Questions to the file: rows of one series, and of all the rows nearest to an instant.

Minutes are asked for before blocks: of a day that is folded meanwhile, a row is then in both and never in neither.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from shared.history.block import Row, between, decode, nearest
from shared.history.file import DAY_MS, EACH_FIVE_S, EACH_MINUTE_S, MINUTE_MS, Series

HALF_HOUR_MS = 1_800_000
# Beside min() SQLite gives the columns of the row that has it.
_NEAREST = """
SELECT series, received_ms, contracts, mark, min(abs(received_ms - :target)) FROM minute
WHERE minute BETWEEN :first AND :last GROUP BY series
"""
# The minutes one by one: a look-up each, where a range would bring every series of them.
_MINUTES = """
WITH RECURSIVE wanted (minute) AS (
    SELECT :first WHERE :first <= :last UNION ALL SELECT minute + 1 FROM wanted WHERE minute < :last
)
SELECT received_ms, contracts, mark FROM wanted
CROSS JOIN minute ON minute.minute = wanted.minute AND minute.series = :series  -- CROSS: in this order
"""
_DAYS = """
SELECT day, rows FROM day
WHERE step_s IN (?, 300) AND day BETWEEN ? AND ? AND series = ? ORDER BY day, step_s
"""


def series_of(db: sqlite3.Connection, symbol: str) -> list[tuple[int, Series]]:
    """Every series that ever had this name, the newest first, by its number in the file."""
    found = db.execute("SELECT id, symbol, onboard_ms FROM series WHERE symbol = ? ORDER BY onboard_ms DESC", (symbol,))
    return [(number, Series(name, onboard_ms)) for number, name, onboard_ms in found]


def rows_of(db: sqlite3.Connection, number: int, from_ms: int, to_ms: int, step_s: int = EACH_MINUTE_S) -> list[Row]:
    """One series between two instants (the last excluded), oldest first: the first row of each step of time.

    The exchange's statistic stands where nobody here saw anything for half an hour around it.

    Where single minutes are no longer kept, a finer step gets what there is.
    """
    around = seen_of(db, number, from_ms - HALF_HOUR_MS, to_ms + HALF_HOUR_MS, step_s)
    unseen = _statistics(db, number, from_ms, to_ms, [row.received_ms for row in around])
    seen = [row for row in around if from_ms <= row.received_ms < to_ms]
    return first_of_each(sorted([*seen, *unseen]) if unseen else seen, step_s)


def seen_of(db: sqlite3.Connection, number: int, from_ms: int, to_ms: int, step_s: int = EACH_MINUTE_S) -> list[Row]:
    """Every row of our own between two instants, of the minutes or of the five minutes."""
    rows = {row.received_ms // MINUTE_MS: row for row in minutes_of(db, number, from_ms, to_ms)}
    for row in _of_days(db, number, from_ms, to_ms, step_s):  # asked for later: a minute may get into a block meanwhile
        rows[row.received_ms // MINUTE_MS] = row  # of what is in both, the block has the first
    return [rows[minute] for minute in sorted(rows) if from_ms <= rows[minute].received_ms < to_ms]


def _statistics(db: sqlite3.Connection, number: int, from_ms: int, to_ms: int, seen_ms: list[int]) -> list[Row]:
    """What the exchange told of the hours in which nobody here saw anything."""
    ask = "SELECT at_ms, contracts, mark FROM statistic WHERE series = ? AND at_ms >= ? AND at_ms < ? ORDER BY at_ms"
    told = (Row(at_ms, text, mark, False) for at_ms, text, mark in db.execute(ask, (number, from_ms, to_ms)))
    return [row for row in told if not _seen_near(seen_ms, row.received_ms)]


def _seen_near(seen_ms: list[int], at_ms: int) -> bool:
    after = bisect_left(seen_ms, at_ms - HALF_HOUR_MS)
    return after < len(seen_ms) and seen_ms[after] <= at_ms + HALF_HOUR_MS


def first_of_each(rows: Iterable[Row], step_s: int) -> list[Row]:
    """Of each step of time the first row. A step without one stays without."""
    kept: dict[int, Row] = {}
    for row in rows:
        kept.setdefault(row.received_ms // (step_s * 1000), row)
    return list(kept.values())


def _of_days(db: sqlite3.Connection, number: int, from_ms: int, to_ms: int, step_s: int) -> Iterator[Row]:
    """Of each day its minutes where they are wanted and still kept, else its five minutes; whole minutes of either."""
    blocks: dict[int, bytes] = {}
    finest_s = EACH_MINUTE_S if step_s < EACH_FIVE_S else EACH_FIVE_S
    for day, blob in db.execute(_DAYS, (finest_s, from_ms // DAY_MS, to_ms // DAY_MS, number)):
        blocks.setdefault(day, blob)  # the finer, which comes first
    first_ms, end_ms = from_ms // MINUTE_MS * MINUTE_MS, -(-to_ms // MINUTE_MS) * MINUTE_MS
    for blob in blocks.values():
        yield from between(decode(blob), first_ms, end_ms)


def minutes_of(db: sqlite3.Connection, number: int, from_ms: int, to_ms: int) -> Iterator[Row]:
    """Rows of one series, oldest first, of what is not yet in blocks; whole minutes, that of ``to_ms`` included."""
    # Two questions: SQLite answers each from an end of the table, and both at once by reading all of it.
    oldest, newest = db.execute("SELECT (SELECT min(minute) FROM minute), (SELECT max(minute) FROM minute)").fetchone()
    if oldest is not None:
        first, last = max(oldest, from_ms // MINUTE_MS), min(newest, to_ms // MINUTE_MS)
        yield from (Row(*row) for row in db.execute(_MINUTES, {"first": first, "last": last, "series": number}))


def nearest_of_all(db: sqlite3.Connection, target_ms: int, tolerance_ms: int) -> dict[int, Row]:
    """Number of a series -> its row nearest to an instant; those without one within the tolerance are left out.

    The exchange's statistic stands in for a series of which there is no row of our own.
    """
    first_ms, last_ms = target_ms - tolerance_ms, target_ms + tolerance_ms
    found: dict[int, Row] = {}
    for number, row in _all_around(db, first_ms, last_ms, target_ms):
        off_ms = abs(row.received_ms - target_ms)
        if off_ms <= tolerance_ms and (number not in found or off_ms < abs(found[number].received_ms - target_ms)):
            found[number] = row
    for number in _told_between(db, first_ms, last_ms) - found.keys():
        told = nearest(rows_of(db, number, first_ms, last_ms + 1), target_ms)
        if told is not None:
            found[number] = told
    return found


def _told_between(db: sqlite3.Connection, from_ms: int, to_ms: int) -> set[int]:
    """Series of which the exchange told something between two instants, each looked up: nothing is by time alone."""
    ask = "SELECT id FROM series WHERE EXISTS (SELECT 1 FROM statistic WHERE series = id AND at_ms BETWEEN ? AND ?)"
    return {number for (number,) in db.execute(ask, (from_ms, to_ms))}


def _all_around(db: sqlite3.Connection, from_ms: int, to_ms: int, target_ms: int) -> Iterator[tuple[int, Row]]:
    """Of the minutes of every series between two instants, and of each block there, the row nearest to the target."""
    minutes = {"first": from_ms // MINUTE_MS, "last": to_ms // MINUTE_MS, "target": target_ms}
    for number, received_ms, contracts, mark, _ in db.execute(_NEAREST, minutes):
        yield number, Row(received_ms, contracts, mark)
    days = (EACH_FIVE_S, from_ms // DAY_MS, to_ms // DAY_MS)
    for number, blob in db.execute("SELECT series, rows FROM day WHERE step_s = ? AND day BETWEEN ? AND ?", days):
        block = decode(blob)
        row = nearest(block, target_ms)
        if row is not None:
            yield number, row
