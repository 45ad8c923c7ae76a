"""How near to the exchange's limit the sweeps come, in simulated time: the real schedule and budget.

341 symbols, 64 in flight, answers after 50 ms; the bench measures the same on real processes.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.oi_poller.lastlook import UNSEEN
from services.oi_poller.metrics import Metrics
from services.oi_poller.schedule import Schedule
from services.oi_poller.settings import Settings
from services.oi_poller.sweep import Outcome
from services.oi_poller.weight import MINUTE_MS, OutOfWeight, WeightBudget
from shared.clock import monotonic_ms
from shared.settings import load
from tests.builders import oi
from tests.fakes import FakeClock

SYMBOLS, IN_FLIGHT, LATENCY_S, POST_S = 341, 64, 0.05, 0.02
T0 = 1_764_720_000_000  # a whole minute of the exchange


class Address:
    """The exchange's count for one address: ours, and ``others`` at their times, oldest first: (Unix ms, weight)."""

    def __init__(self, limit: int, others: Iterator[tuple[int, int]]) -> None:
        self.limit = limit
        self.counts: Counter[int] = Counter()  # by minute
        self.refused_ours = 0
        self.refused_others: list[int] = []  # when
        self._others = others
        self._next = next(others, None)

    def take(self, now_ms: int, weight: int = 1) -> int:
        """Count one request of ours, and what others sent before it."""
        while self._next is not None and self._next[0] <= now_ms:
            at_ms, burst = self._next
            self.counts[at_ms // MINUTE_MS] += burst
            if self.counts[at_ms // MINUTE_MS] > self.limit:
                self.refused_others.append(at_ms)
            self._next = next(self._others, None)
        self.counts[now_ms // MINUTE_MS] += weight
        self.refused_ours += self.counts[now_ms // MINUTE_MS] > self.limit
        return self.counts[now_ms // MINUTE_MS]


class Run:
    """A poller's life in simulated time; ``landed`` has of each sweep when it was served and when each was asked."""

    def __init__(self, address: Address, begin_ms: int = T0, venue_ahead_ms: int = 0, **changes: str) -> None:
        self.clock = FakeClock(begin_ms)
        self.address = address
        self.ahead_ms = venue_ahead_ms
        told = load(Settings, changes)
        self.budget = WeightBudget(told.per_minute, told.reserve)
        self.schedule = Schedule(told, self.budget, Metrics(CollectorRegistry()), self.clock)
        self.landed: list[tuple[float, list[float]]] = []

    def minutes(self, count: float) -> Run:
        until_s = self.clock.monotonic_s() + count * 60
        listed_s = looked_s = -1e9
        while self.clock.monotonic_s() < until_s:
            if self.clock.monotonic_s() - listed_s > 250:  # the symbol list
                listed_s = self.clock.monotonic_s()
                self._ask(1)
            look_s, rest_s = self.budget.last_look_ms(monotonic_ms(self.clock)) / 1000, self.schedule.rest_s()
            if look_s < rest_s and self.clock.monotonic_s() + look_s > looked_s + 1:
                self.clock.advance(look_s)
                looked_s = self.clock.monotonic_s()
                if self.address.limit - self.budget.used(monotonic_ms(self.clock)) >= UNSEEN:
                    self._ask(1)
                continue
            self.clock.advance(rest_s)
            if self.schedule.may_begin(SYMBOLS):
                self._sweep()
        return self

    def _sweep(self) -> None:
        self.schedule.begin(SYMBOLS)
        asked = self._ask(1)
        while len(asked) < SYMBOLS:
            asked += self._ask(min(IN_FLIGHT, SYMBOLS - len(asked)))
        self.schedule.ended(Outcome({"BTCUSDT": oi()}, {}, None))
        self.landed.append((self.clock.monotonic_s() + POST_S, asked))

    def _ask(self, count: int) -> list[float]:
        """So many requests at once, or as many as there is weight for; returns when the exchange saw them."""
        tickets = []
        for _ in range(count):
            try:
                tickets.append(self.budget.spend(monotonic_ms(self.clock)))
            except OutOfWeight as e:
                if not tickets:
                    self.clock.advance(e.retry_after_s or 0.001)
                break
        self.clock.advance(LATENCY_S)
        seen_s, venue_ms = self.clock.monotonic_s(), self.clock.now_ms() + self.ahead_ms
        told = [self.address.take(venue_ms) for _ in tickets]
        for ticket, used in zip(tickets, told, strict=True):
            self.budget.answered(ticket, monotonic_ms(self.clock), used, venue_ms // 1000 * 1000)
        return [seen_s] * len(tickets)

    def ages_s(self, after_s: float) -> tuple[float, float]:
        """Median and worst age of what is served, from ``after_s`` into the run on."""
        served = [(at_s, asked[::20]) for at_s, asked in self.landed if at_s - self.landed[0][0] >= after_s]
        times = [at_s for at_s, _ in served]
        grid = (times[0] + 0.37 * n for n in range(int((times[-1] - times[0]) / 0.37)))
        sampled = [at_s - seen_s for at_s in grid for seen_s in served[bisect_right(times, at_s) - 1][1]]
        worst = max(later - min(asked) for (_, asked), later in zip(served, times[1:], strict=False))
        return statistics.median(sampled), worst


def bursts(begin_ms: int, minutes: int, seconds: list[float], weight: int) -> Iterator[tuple[int, int]]:
    """Another script: so much weight at each of these seconds of every minute."""
    for minute in range(minutes):
        yield from ((begin_ms + minute * MINUTE_MS + round(s * 1000), weight) for s in sorted(seconds))


@settings(max_examples=8)
@given(begin_s=st.integers(0, 59), ahead_ms=st.integers(-(10**6), 10**6))
def test_alone_on_the_address_the_limit_is_used(begin_s: int, ahead_ms: int) -> None:
    """Open interest is as young as the exchange's own limit lets it be, and not one request is refused."""
    address = Address(2400, iter(()))

    run = Run(address, T0 + begin_s * 1000, ahead_ms).minutes(8)

    median_s, worst_s = run.ages_s(after_s=140)
    assert median_s <= 4.7
    assert worst_s <= 9.7
    assert address.refused_ours == 0
    assert max(address.counts.values()) <= 2390


@settings(max_examples=8)
@given(
    seconds=st.lists(st.floats(0, 58.5), min_size=1, max_size=6),
    begin_s=st.integers(0, 59),
    ahead_ms=st.integers(-(10**6), 10**6),
)
def test_beside_a_script_that_sends_in_bursts_nobody_is_refused(
    seconds: list[float], begin_s: int, ahead_ms: int
) -> None:
    """300 a minute, all at once or in a few goes, at whatever second: the old scripts do so."""
    address = Address(
        2400, bursts((T0 + ahead_ms) // MINUTE_MS * MINUTE_MS - MINUTE_MS, 14, seconds, 300 // len(seconds))
    )

    run = Run(address, T0 + begin_s * 1000, ahead_ms).minutes(8)

    assert (address.refused_ours, address.refused_others) == (0, [])
    assert run.ages_s(after_s=125)[0] <= 8.0


@pytest.mark.parametrize("second", [0.0, 20.0, 50.0, 53.9, 58.5])
def test_somebody_who_comes_later_is_made_room_for_at_once(second: float) -> None:
    """Only the first can meet a minute that is used up; then there is room. None of ours is refused.

    One that comes behind our last sweep of a minute is seen in the next minute that has room for a look, one of three.
    """
    begins_ms = T0 + 4 * MINUTE_MS
    address = Address(2400, bursts(begins_ms, 5, [second], 300))

    run = Run(address).minutes(3)
    assert run.budget.is_alone(monotonic_ms(run.clock))
    run.minutes(5)

    assert address.refused_ours == 0
    assert all(at_ms < begins_ms + (3 if second > 58 else 1) * MINUTE_MS for at_ms in address.refused_others)
    assert not run.budget.is_alone(monotonic_ms(run.clock))
    run.minutes(7)
    assert run.budget.is_alone(monotonic_ms(run.clock))


def test_a_budget_that_is_set_is_obeyed() -> None:
    """Whoever set it knows of somebody else."""
    address = Address(2400, iter(()))

    run = Run(address, OI_MAX_REQ_PER_MIN="2000").minutes(10)

    assert max(address.counts.values()) <= 6 * SYMBOLS + 3
    assert run.schedule.interval_s == pytest.approx(10.23)


def test_a_small_reserve_that_is_set_stays_small() -> None:
    run = Run(Address(2400, iter(())), OI_WEIGHT_RESERVE="0").minutes(5)

    assert run.schedule.interval_s == pytest.approx(60 / 7)


@pytest.mark.parametrize("set_by_s", [-86_400.0, -3600.0, 3600.0, 86_400.0])
def test_a_wall_clock_that_is_set_costs_no_sweep(set_by_s: float) -> None:
    """It cost 3,659 s of silence: NTP after a boot with a wrong hardware clock, or a hand."""
    address = Address(2400, iter(()))
    run = Run(address).minutes(3)
    before = len(run.landed)

    run.clock.set_wall(set_by_s)
    run.ahead_ms -= round(set_by_s * 1000)  # the exchange's clock goes on as before
    run.minutes(3)

    assert len(run.landed) - before >= 3 * 60 / 10.1 - 1
    assert address.refused_ours == 0


def test_a_host_that_slept_loses_a_minute_at_most() -> None:
    """The monotonic clock stands still meanwhile, so the exchange's minutes jump."""
    address = Address(2400, iter(()))
    run = Run(address).minutes(3)
    before = run.clock.monotonic_s()

    run.clock.set_wall(1000.0)
    sweeps = len(run.landed)
    while len(run.landed) < sweeps + 3:
        run.minutes(0.01)

    assert run.clock.monotonic_s() - before < 60 + 3 * 10.5
    assert address.refused_ours == 0
