"""The recent past of each symbol, in memory: flat arrays, oldest first; pure, no I/O, no clock.

Of each step of time (10 s in production) the first sample is kept, whatever the start: a history rebuilt after a
restart is the one that was lost. No series reaches across a hole longer than any time frame tolerates, nor across a
change of the contract's unit.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

STEP = 1.4  # the least factor by which a unit changes: 3 for 2, less what moves meanwhile
SAME_VALUE = 0.1  # by how much the value in USD may move meanwhile, as a fraction


class Sample(NamedTuple):
    at_ms: int  # when we received it, or when the exchange says it was so; never when a sweep ended
    open_interest: float  # contracts, positive
    mark_price: float | None


class UnitChange(NamedTuple):
    """Contracts times a factor and price divided by it, as a split or a redenomination does: no open interest moved."""

    symbol: str
    before: Sample
    after: Sample

    @property
    def factor(self) -> float:
        return self.after.open_interest / self.before.open_interest


def is_unit_change(before: Sample, after: Sample) -> bool:
    if before.mark_price is None or after.mark_price is None:
        return False
    factor = after.open_interest / before.open_interest
    return _is_step(factor) and abs(factor * after.mark_price / before.mark_price - 1) <= SAME_VALUE


def may_be_half_a_unit_change(before: Sample, after: Sample) -> bool:
    """Contracts or price jumped alone: they are read seconds apart, and the other may jump in the next sample."""
    if before.mark_price is None:
        return False
    price_factor = 1.0 if after.mark_price is None else after.mark_price / before.mark_price
    return _is_step(after.open_interest / before.open_interest) or _is_step(price_factor)


def _is_step(factor: float) -> bool:
    return factor >= STEP or factor * STEP <= 1


class Series:
    """Samples of one symbol. ``since_ms``: nothing older is of the same unit."""

    def __init__(self, since_ms: int = 0) -> None:
        self.since_ms = since_ms
        self.asked = False  # the exchange, for what was before
        self.newest: Sample | None = None  # of all seen, kept or not
        self.before_jump: Sample | None = None  # while only the next sample can tell what a jump was
        self._at = array("q")
        self._open_interest = array("d")
        self._mark_price = array("d")  # NaN: not known
        self._step = -1  # the last of which a sample was kept, whether or not it was cut since

    def __len__(self) -> int:
        return len(self._at)

    @property
    def newest_ms(self) -> int:
        return self.newest.at_ms if self.newest else 0

    @property
    def first_ms(self) -> int:
        return self._at[0] if self._at else self.newest_ms

    @property
    def span_ms(self) -> int:
        return self.newest_ms - self.first_ms

    def append(self, sample: Sample, step_ms: int) -> None:
        self.newest = sample
        if sample.at_ms // step_ms > self._step:
            self._step = sample.at_ms // step_ms
            self._at.append(sample.at_ms)
            self._open_interest.append(sample.open_interest)
            self._mark_price.append(math.nan if sample.mark_price is None else sample.mark_price)

    def prepend(self, samples: list[Sample]) -> None:
        """``samples``: oldest first, all older than what is here."""
        self._at = array("q", [s.at_ms for s in samples]) + self._at
        self._open_interest = array("d", [s.open_interest for s in samples]) + self._open_interest
        marks = [math.nan if s.mark_price is None else s.mark_price for s in samples]
        self._mark_price = array("d", marks) + self._mark_price

    def cut(self, before_ms: int) -> None:
        if self._at and self._at[0] < before_ms:
            self._drop(bisect_left(self._at, before_ms))

    def cut_at_hole(self, longest_ms: int) -> None:
        """Keep what lies behind the last hole longer than this."""
        for i in range(len(self._at) - 1, 0, -1):
            if self._at[i] - self._at[i - 1] > longest_ms:
                return self._drop(i)
        return None

    def nearest(self, target_ms: int, tolerance_ms: int, before_ms: int) -> Sample | None:
        """The sample older than ``before_ms`` that lies nearest to the target; of two as near, the older."""
        right = bisect_left(self._at, target_ms)
        found = [i for i in (right - 1, right) if 0 <= i < len(self._at) and self._at[i] < before_ms]
        best = min(found, key=lambda i: abs(self._at[i] - target_ms), default=None)
        if best is None or abs(self._at[best] - target_ms) > tolerance_ms:
            return None
        mark = self._mark_price[best]
        return Sample(self._at[best], self._open_interest[best], None if math.isnan(mark) else mark)

    def hole_ms(self, from_ms: int, to_ms: int) -> int:
        """The longest time without a sample between these two instants, both of which have one."""
        inner = self._at[bisect_left(self._at, from_ms) : bisect_left(self._at, to_ms)]
        times = [*inner, to_ms]
        return max((later - earlier for earlier, later in pairwise(times)), default=0)

    def _drop(self, count: int) -> None:
        for column in (self._at, self._open_interest, self._mark_price):
            del column[:count]


class History:
    """Symbol -> series, no further back than ``horizon_ms``."""

    def __init__(self, horizon_ms: int, step_ms: int, longest_hole_ms: int) -> None:
        self.horizon_ms = horizon_ms
        self.longest_hole_ms = longest_hole_ms
        self._step_ms = step_ms
        self.series: dict[str, Series] = {}

    def add(self, symbol: str, sample: Sample, onboard_ms: int = 0) -> Series | UnitChange | None:
        """The symbol's series with this sample in it; None where it is no news, or it is too early to say.

        What lies before the listing belongs to a dead namesake. A hole, time that went back by more than a step, or
        another unit begins a new series. A jump is looked at one sample later, when it is known whether price and
        contracts jumped together.
        """
        series = self.series.get(symbol)
        passed_ms = 0 if series is None else sample.at_ms - series.newest_ms
        if series is None or not -self._step_ms <= passed_ms <= self.longest_hole_ms:
            series = self.series[symbol] = Series()
        elif passed_ms <= 0:
            return None
        before = series.before_jump or series.newest
        if before is not None and is_unit_change(before, sample):
            self.series[symbol] = Series(sample.at_ms)
            self.series[symbol].append(sample, self._step_ms)
            return UnitChange(symbol, before, sample)
        is_open = series.before_jump is None and before is not None and may_be_half_a_unit_change(before, sample)
        series.before_jump = before if is_open else None
        series.append(sample, self._step_ms)
        series.cut(max(onboard_ms, sample.at_ms - self.horizon_ms))
        return None if is_open or sample.at_ms < onboard_ms else series

    def recall(self, symbol: str, samples: Iterable[Sample]) -> None:
        """Put what the exchange told before what was seen."""
        series = self.series.get(symbol)
        if series is None:
            return
        oldest_ms = max(series.newest_ms - self.horizon_ms, series.since_ms)
        older = {s.at_ms: s for s in samples if oldest_ms <= s.at_ms < series.first_ms}
        series.prepend([older[at_ms] for at_ms in sorted(older)])
        series.cut_at_hole(self.longest_hole_ms)

    def forget_left(self, now_ms: int) -> None:
        """Symbols without a sample for so long that the next one begins a new series anyway."""
        for symbol in [s for s, series in self.series.items() if now_ms - series.newest_ms > self.longest_hole_ms]:
            del self.series[symbol]
