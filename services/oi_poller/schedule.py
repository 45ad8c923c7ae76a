"""When the next sweep begins: the weight budget, the interval it allows, and rest after failures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.oi_poller.metrics import Metrics
from services.oi_poller.settings import Settings
from services.oi_poller.sweep import Outcome
from services.oi_poller.weight import WeightBudget
from shared.backoff import Backoff
from shared.clock import Clock, monotonic_ms
from shared.errors import Refused
from shared.logs import EventLog

log = EventLog("schedule")
DEADLINE_S = 10.0
LOOK_AGAIN_S = 5.0  # while a long interval runs, how often it is asked whether it need be so long


@dataclass
class Schedule:
    """Intervals run from start to start. ``interval_s`` is the one in force."""

    settings: Settings
    budget: WeightBudget
    metrics: Metrics
    clock: Clock

    def __post_init__(self) -> None:
        self._due_s = self.clock.monotonic_s()
        self._began_s = -math.inf
        self._failing = Backoff(1.0, 60.0)
        self._refused = Backoff(15.0, 300.0)
        self.interval_s = self.settings.min_interval_s

    def rest_s(self) -> float:
        """Until the next turn."""
        return max(0.0, self._due_s - self.clock.monotonic_s())

    def nap(self, seconds: float) -> None:
        """Nothing to do for so long."""
        self._due_s = self.clock.monotonic_s() + seconds

    def may_begin(self, symbols: int) -> bool:
        """Whether a sweep is due, and fits in what is left of this minute; if not, when to ask again.

        An interval stretched for others on the address ends as soon as they are seen to have ended.
        """
        self._set_interval(min(self.interval_s, self._interval_s(symbols)), symbols)
        early_s = self._began_s + self.interval_s - self.clock.monotonic_s()
        if early_s > 0:
            self.nap(min(early_s, LOOK_AGAIN_S))
            return False
        self.budget.sweep = symbols
        wait_ms = self.budget.sweep_wait_ms(monotonic_ms(self.clock), symbols)
        self.nap(wait_ms / 1000)
        return not wait_ms

    def begin(self, symbols: int) -> float:
        """A sweep begins; returns its deadline, in seconds, longer by the minutes that it needs for its weight."""
        self._set_interval(self._interval_s(symbols), symbols)
        self._began_s = self.clock.monotonic_s()
        self.nap(min(self.interval_s, max(LOOK_AGAIN_S, self.settings.max_interval_s)))
        return DEADLINE_S + 60.0 * ((symbols - 1) // self.budget.budget(monotonic_ms(self.clock)))

    def ended(self, outcome: Outcome) -> None:
        """Failed for the most part: rest longer, and long where only a person can mend it."""
        if 2 * len(outcome.failures) < len(outcome.fresh) + len(outcome.failures):
            self._failing.reset()
            self._refused.reset()
            return
        backoff = self._refused if isinstance(outcome.cause, Refused) else self._failing
        self._due_s = max(self._due_s, self.clock.monotonic_s() + backoff.next_s())

    def _interval_s(self, symbols: int) -> float:
        return self.budget.interval_s(symbols, self.settings.min_interval_s, monotonic_ms(self.clock))

    def _set_interval(self, interval_s: float, symbols: int) -> None:
        budget = self.budget.planned(monotonic_ms(self.clock))
        if interval_s != self.interval_s:
            log.info("interval set", interval_s=interval_s, before_s=self.interval_s, symbols=symbols, budget=budget)
        max_s = self.settings.max_interval_s
        if self.interval_s <= max_s < interval_s:
            why = "OI_MAX_INTERVAL_SEC cannot be kept within the weight budget"
            log.warning(why, interval_s=interval_s, max_s=max_s, symbols=symbols, budget=budget)
        self.interval_s = interval_s
        self.metrics.interval.set(interval_s)
        self.metrics.over_max.set(interval_s > max_s)
