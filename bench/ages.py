"""How old what is held is, over time; pure. A value ages from when it was made until a newer one replaces it."""

from __future__ import annotations

import bisect
import statistics
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Seen(NamedTuple):
    """One value as it came to be held: when it came, when the exchange made it; Unix ms."""

    symbol: str
    got_ms: int
    made_ms: int


class Ages(NamedTuple):
    median_s: float
    worst_s: float
    symbols: int


def ages(seen: Iterable[Seen], from_ms: int, until_ms: int, step_ms: int = 250) -> Ages:
    """Sampled on a grid, for all symbols; the worst is looked for just before each replacement as well."""
    by_symbol: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_symbol[one.symbol].append(one)
    samples: list[int] = []
    worst = 0
    for rows in by_symbol.values():
        rows.sort(key=lambda row: row.got_ms)
        worst = max(worst, _oldest(rows, from_ms, until_ms))
        samples += _sampled(rows, range(from_ms, until_ms, step_ms))
    if not samples:
        raise ValueError("no value was held")
    return Ages(statistics.median(samples) / 1000, worst / 1000, len(by_symbol))


def whole_rounds(seen: Iterable[Seen], from_ms: int, until_ms: int) -> tuple[int, int]:
    """The part of the window between the first and the last time that one symbol came in it.

    A window that cuts a round in two counts young ages, or old ones, more often than they are. A pause longer than two
    rounds at either end belongs to the window: nothing that went wrong is cut away.
    """
    rows = sorted((row for row in seen if from_ms <= row.got_ms <= until_ms), key=lambda row: (row.symbol, row.got_ms))
    times = [row.got_ms for row in rows if row.symbol == rows[0].symbol]
    if len(times) < 2:
        return from_ms, until_ms
    pause_ms = 2 * statistics.median(b - a for a, b in pairwise(times))
    first, last = times[0], times[-1]
    return (from_ms if first - from_ms > pause_ms else first, until_ms if until_ms - last > pause_ms else last)


def _sampled(rows: list[Seen], grid: range) -> list[int]:
    times = [row.got_ms for row in rows]
    found = ((at, bisect.bisect_right(times, at)) for at in grid)
    return [at - rows[index - 1].made_ms for at, index in found if index]


def _oldest(rows: list[Seen], from_ms: int, until_ms: int) -> int:
    """The age a value had reached when the next one came, or when the window closed."""
    ends = [row.got_ms for row in rows[1:]] + [until_ms]
    held = [(row, end) for row, end in zip(rows, ends, strict=True) if end > from_ms and row.got_ms < until_ms]
    reached = [min(end, until_ms) - row.made_ms for row, end in held]
    return max(reached, default=0)
