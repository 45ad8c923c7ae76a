"""When the next sweep begins."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.oi_poller.metrics import Metrics
from services.oi_poller.schedule import Schedule
from services.oi_poller.settings import Settings
from services.oi_poller.weight import MINUTE_MS, WeightBudget
from shared.clock import monotonic_ms
from shared.settings import load
from tests.fakes import FakeClock
from tests.oi_poller.test_weight import send

SYMBOLS = 343


def until_due(schedule: Schedule, clock: FakeClock, within_s: float) -> float:
    """Seconds until the next sweep may begin."""
    begun_s = clock.monotonic_s()
    while clock.monotonic_s() - begun_s <= within_s:
        clock.advance(schedule.rest_s())
        if schedule.may_begin(SYMBOLS):
            return clock.monotonic_s() - begun_s
    raise AssertionError(f"not within {within_s} s")


@pytest.fixture
def clock() -> FakeClock:
    made = FakeClock()
    made.advance(20)  # to a whole minute of its monotonic time
    return made


def test_an_interval_stretched_for_others_ends_when_they_do(clock: FakeClock) -> None:
    """One burst of another script must not keep us away for five minutes: by then nothing would be published."""
    budget = WeightBudget(2000, 200)
    schedule = Schedule(load(Settings, {}), budget, Metrics(CollectorRegistry()), clock)
    send(budget, 1, monotonic_ms(clock), used=1)
    clock.advance(45)
    send(budget, 1, monotonic_ms(clock), used=2400)

    assert until_due(schedule, clock, within_s=60) <= 15
    schedule.begin(SYMBOLS)
    assert schedule.interval_s == 300.0
    send(budget, SYMBOLS, monotonic_ms(clock), used=SYMBOLS)

    assert until_due(schedule, clock, within_s=70) <= MINUTE_MS / 1000 + 5
    assert schedule.interval_s == pytest.approx(10.29)


def test_after_a_ban_the_next_minute_is_tried_at_once(clock: FakeClock) -> None:
    """The interval grows when a sweep begins, not before: only a sweep can tell whether others still send."""
    budget = WeightBudget(2000, 200)
    schedule = Schedule(load(Settings, {}), budget, Metrics(CollectorRegistry()), clock)
    schedule.begin(SYMBOLS)
    send(budget, 1, monotonic_ms(clock), used=1)
    clock.advance(45)
    send(budget, 1, monotonic_ms(clock), used=5000)
    schedule.nap(8)

    assert until_due(schedule, clock, within_s=60) <= 15


def test_while_others_use_up_the_limit_the_interval_stays_long(clock: FakeClock) -> None:
    budget = WeightBudget(2000, 200)
    schedule = Schedule(load(Settings, {}), budget, Metrics(CollectorRegistry()), clock)
    send(budget, 1, monotonic_ms(clock), used=1)
    send(budget, 1, monotonic_ms(clock) + 50_000, used=2400)
    clock.advance(60)
    schedule.begin(SYMBOLS)
    for _ in range(3):
        send(budget, 1, monotonic_ms(clock) + 50_000, used=2400)
        clock.advance(60)
        assert not schedule.may_begin(SYMBOLS)
    assert schedule.interval_s == 300.0
