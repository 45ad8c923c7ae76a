"""One sweep x mark prices -> the rows to publish, and a reason for every symbol that is not among them. Pure.

The books of a cycle always close: universe = published + left out + failed. Missing is never zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

import msgspec

from shared.model import MarkPrice, OpenInterest, Sweep, backend_key, notional

LeftOut = Literal[
    "missing_mark",
    "stale_mark",
    "non_positive_mark",
    "non_finite",
    "stale_open_interest",
    "zero_open_interest",
    "not_in_universe",
    "symbol_collision",
]
LEFT_OUT: tuple[LeftOut, ...] = get_args(LeftOut)
FETCH_FAILED = "fetch_failed"
SKEW_MS = 10_000  # how far another machine's clock may be from ours before its stamps are disbelieved


class Limits(NamedTuple):
    mark_max_age_s: float
    oi_max_age_s: float


class Record(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """One row of a batch, by the backend's names: finite and above zero, every number of it."""

    symbol: str
    open_interest: float
    notional: float = msgspec.field(name="openInterestUsd")
    mark_price: float
    funding_rate: float | None = None  # as it is, also below zero


class Books(NamedTuple):
    universe: Set[str]
    records: list[Record]
    left_out: dict[str, LeftOut]
    failed: set[str]

    @property
    def unaccounted(self) -> int:
        """How many symbols of the universe are not in exactly one of the three places: 0, or there is a bug."""
        seen = Counter([*(record.symbol for record in self.records), *self.left_out, *self.failed])
        return sum(symbol not in self.universe or seen[symbol] != 1 for symbol in self.universe | seen.keys())


def own_marks(sweep: Sweep) -> dict[str, MarkPrice]:
    """The marks a sweep carries: the prices of its own time, for a sweep that is delivered late."""
    return {
        symbol: MarkPrice(symbol, reading.mark_price, None, None, 0, sweep.ended_ms, sweep.ended_ms)
        for symbol, reading in sweep.readings.items()
        if reading.mark_price is not None
    }


def join(
    sweep: Sweep, marks: Mapping[str, MarkPrice], now_ms: int, limits: Limits, members: Set[str] | None = None
) -> Books:
    """Close the books of one sweep. ``members``: the universe as it is now; None where that says nothing about then."""
    universe = sweep.universe()
    collisions = colliding(universe)
    books = Books(universe, [], {}, set())
    for symbol in sorted(universe):
        if symbol in collisions:
            books.left_out[symbol] = "symbol_collision"
        elif members and symbol not in members:
            books.left_out[symbol] = "not_in_universe"
        elif _is_failed(sweep, symbol, now_ms, limits):
            books.failed.add(symbol)
        else:
            row = _row(sweep.readings[symbol].open_interest, marks.get(symbol), now_ms, limits)
            if isinstance(row, Record):
                books.records.append(row)
            else:
                books.left_out[symbol] = row
    return books


def colliding(universe: Set[str]) -> set[str]:
    """Symbols that the backend would take for another one; where one of them is spelled its way, that one stays."""
    spelled: dict[str, list[str]] = {}
    for symbol in universe:
        spelled.setdefault(backend_key(symbol), []).append(symbol)
    return {symbol for key, symbols in spelled.items() if len(symbols) > 1 for symbol in symbols if symbol != key}


def _is_failed(sweep: Sweep, symbol: str, now_ms: int, limits: Limits) -> bool:
    """A symbol that failed this time is still published while its last good reading is young."""
    reading = sweep.readings.get(symbol)
    if reading is None:
        return True
    return symbol in sweep.failures and _stale(reading.open_interest.received_ms, now_ms, limits.oi_max_age_s)


def _stale(stamp_ms: int, now_ms: int, max_age_s: float) -> bool:
    """Too old, or so far in the future that its clock cannot be believed."""
    return not -SKEW_MS <= now_ms - stamp_ms <= max_age_s * 1000


def _row(oi: OpenInterest, mark: MarkPrice | None, now_ms: int, limits: Limits) -> Record | LeftOut:
    if _stale(oi.received_ms, now_ms, limits.oi_max_age_s):
        return "stale_open_interest"
    if not oi.open_interest.is_finite():
        return "non_finite"
    if oi.open_interest <= 0:
        return "zero_open_interest"
    if mark is None:
        return "missing_mark"
    return _mark_trouble(mark, now_ms, limits) or _record(oi, mark)


def _mark_trouble(mark: MarkPrice, now_ms: int, limits: Limits) -> LeftOut | None:
    if not mark.mark_price.is_finite():
        return "non_finite"
    if mark.mark_price <= 0:
        return "non_positive_mark"
    if _stale(mark.received_ms, now_ms, limits.mark_max_age_s):
        return "stale_mark"
    if _stale(mark.event_ms, now_ms, limits.mark_max_age_s + SKEW_MS / 1000):
        return "stale_mark"
    return None


def _record(oi: OpenInterest, mark: MarkPrice) -> Record | LeftOut:
    try:
        usd = notional(oi.open_interest, mark.mark_price)
        contracts, value, price = float(oi.open_interest), float(usd), float(mark.mark_price)
    except ArithmeticError:  # beyond what a Decimal, or a float, can hold
        return "non_finite"
    if not all(math.isfinite(number) and number > 0 for number in (contracts, value, price)):
        return "non_finite"  # a decimal too small or too large for the wire
    return Record(oi.symbol, contracts, value, price, _funding(mark.funding_rate))


def _funding(rate: Decimal | None) -> float | None:
    if rate is None or not rate.is_finite():
        return None
    number = float(rate)
    return number if math.isfinite(number) else None
