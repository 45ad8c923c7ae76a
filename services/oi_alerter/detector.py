"""When open interest has moved enough to tell: pure, no I/O; time is the time of the samples.

A change is (current - baseline) / baseline, the baseline being the sample nearest to one lookback ago. It is outside
from the threshold on. Outside, one alert goes out if it is also at least so many contracts (current - baseline,
whichever sign), and then none in that direction and time frame until the change was seen inside again, or until the
baseline is younger than the last look outside: then the move that was told has left the window.

The cooldown runs from the last alert. What crosses meanwhile is not told twice: it waits, and is told at the first look
after the cooldown at which it is still outside; if it came back inside before, nothing is told.

A change of the contract's unit is no change of open interest: history begins anew there (see `history.UnitChange`).

Without a baseline, or with a hole in the samples since, there is no look: nothing is told, and nothing is re-armed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.oi_alerter.history import History, Sample, Series, UnitChange
from shared.numbers import Instant

REASONS = ("no_baseline", "gap", "too_few_contracts", "cooldown")
DIRECTIONS = (("UP", 1), ("DOWN", -1))


@dataclass(frozen=True)
class Frame:
    """One time frame."""

    name: str
    lookback_ms: int
    threshold: float  # fraction
    cooldown_ms: int

    @property
    def tolerance_ms(self) -> int:
        """How far the baseline may lie from where it should."""
        return min(max(self.lookback_ms // 10, 30_000), 120_000, self.lookback_ms)

    @property
    def longest_hole_ms(self) -> int:
        """Ten minutes at most: openInterestHist has one sample in five, and a quiet contract may lack one."""
        return min(max(self.lookback_ms // 2, 30_000), 600_000, self.lookback_ms)


class Key(NamedTuple):
    symbol: str
    direction: str
    timeframe: str


class Latch(msgspec.Struct, frozen=True, rename={"fired_ms": "firedAt", "outside_ms": "outsideAt"}):
    fired_ms: Instant  # the last alert
    outside_ms: Instant  # when what it told was last seen outside; 0: inside since


class Alert(NamedTuple):
    key: Key
    baseline: Sample
    current: Sample

    @property
    def contracts(self) -> float:
        return self.current.open_interest - self.baseline.open_interest

    @property
    def change(self) -> float:
        return self.contracts / self.baseline.open_interest

    @property
    def price_change(self) -> float | None:
        before, now = self.baseline.mark_price, self.current.mark_price
        return None if before is None or now is None else (now - before) / before


@dataclass
class Findings:
    """What the looks at one sweep came to: ``latches`` are those that changed, ``held_back`` counts reasons."""

    alerts: list[Alert] = field(default_factory=list)
    latches: dict[Key, Latch] = field(default_factory=dict)
    held_back: Counter[str] = field(default_factory=Counter)
    unit_changes: list[UnitChange] = field(default_factory=list)


def history_for(frames: Sequence[Frame]) -> History:
    """As long and as fine as these time frames need it."""
    horizon_ms = max(frame.lookback_ms + frame.tolerance_ms for frame in frames)
    step_ms = min(10_000, *(frame.lookback_ms // 30 for frame in frames))
    return History(horizon_ms + step_ms, max(step_ms, 1), max(frame.longest_hole_ms for frame in frames))


class Detector:
    def __init__(self, frames: Sequence[Frame], min_contracts: float) -> None:
        self._frames = frames
        self._min_contracts = min_contracts
        self._cooldowns = {frame.name: frame.cooldown_ms for frame in frames}

    def look(self, symbol: str, series: Series, current: Sample, latches: Mapping[Key, Latch], into: Findings) -> None:
        """One symbol's newest sample, against every time frame."""
        for frame in self._frames:
            target_ms = current.at_ms - frame.lookback_ms
            baseline = series.nearest(target_ms, frame.tolerance_ms, current.at_ms)
            if baseline is None:
                into.held_back["no_baseline"] += 1
                continue
            for direction, sign in DIRECTIONS:
                alert = Alert(Key(symbol, direction, frame.name), baseline, current)
                latch = latches.get(alert.key)
                outside = sign * alert.change >= frame.threshold
                if not outside and (latch is None or not latch.outside_ms):
                    continue
                if series.hole_ms(baseline.at_ms, current.at_ms) > frame.longest_hole_ms:
                    into.held_back["gap"] += 1
                else:
                    self._judge(frame, alert, latch, outside, into)

    def _judge(self, frame: Frame, alert: Alert, latch: Latch | None, outside: bool, into: Findings) -> None:
        now_ms = alert.current.at_ms
        if not outside:
            into.latches[alert.key] = Latch(latch.fired_ms if latch else 0, 0)
        elif latch is not None and latch.outside_ms >= alert.baseline.at_ms:
            into.latches[alert.key] = Latch(latch.fired_ms, now_ms)
        elif abs(alert.contracts) < self._min_contracts:
            into.held_back["too_few_contracts"] += 1
        elif latch is not None and 0 <= now_ms - latch.fired_ms < frame.cooldown_ms:
            into.held_back["cooldown"] += 1
        else:
            into.alerts.append(alert)
            into.latches[alert.key] = Latch(now_ms, now_ms)

    def idle(self, latches: Mapping[Key, Latch], now_ms: int, horizon_ms: int) -> list[Key]:
        """Latches that can no longer hold anything back."""
        return [
            key
            for key, latch in latches.items()
            if now_ms - latch.outside_ms > horizon_ms
            and now_ms - latch.fired_ms >= self._cooldowns.get(key.timeframe, 0)
        ]
