"""When the next sweep begins."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.oi_poller.metrics import Metrics
from services.oi_poller.pace import Pace
from services.oi_poller.settings import Settings
from services.oi_poller.weight import MINUTE_MS, Governor
from shared.settings import load
from tests.fakes import FakeClock
from tests.oi_poller.test_weight import T0, send

SYMBOLS = 343


async def until_due(pace: Pace, clock: FakeClock, within_s: float) -> float:
    """Seconds until the next sweep may begin."""
    begun_s = clock.monotonic_s()
    while clock.monotonic_s() - begun_s <= within_s:
        await pace.rest()
        if pace.may_begin(SYMBOLS):
            return clock.monotonic_s() - begun_s
    raise AssertionError(f"not within {within_s} s")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0)


async def test_an_interval_stretched_for_others_ends_when_they_do(clock: FakeClock) -> None:
    """One burst of another script must not keep us away for five minutes: by then nothing would be published."""
    governor = Governor(2000, 200)
    pace = Pace(load(Settings, {}), governor, Metrics(CollectorRegistry()), clock)
    send(governor, 1, clock.now_ms(), used=1)
    clock.advance(45)
    send(governor, 1, clock.now_ms(), used=2400)

    assert await until_due(pace, clock, within_s=60) <= 15
    pace.begin(SYMBOLS)
    assert pace.interval_s == 300.0
    send(governor, SYMBOLS, clock.now_ms(), used=SYMBOLS)

    assert await until_due(pace, clock, within_s=70) <= MINUTE_MS / 1000 + 5
    assert pace.interval_s == pytest.approx(10.29)


async def test_after_a_ban_the_next_minute_is_tried_at_once(clock: FakeClock) -> None:
    """The interval grows when a sweep begins, not before: only a sweep can tell whether others still send."""
    governor = Governor(2000, 200)
    pace = Pace(load(Settings, {}), governor, Metrics(CollectorRegistry()), clock)
    pace.begin(SYMBOLS)
    send(governor, 1, clock.now_ms(), used=1)
    clock.advance(45)
    send(governor, 1, clock.now_ms(), used=5000)
    pace.nap(8)

    assert await until_due(pace, clock, within_s=60) <= 15


async def test_while_others_use_up_the_limit_the_interval_stays_long(clock: FakeClock) -> None:
    governor = Governor(2000, 200)
    pace = Pace(load(Settings, {}), governor, Metrics(CollectorRegistry()), clock)
    send(governor, 1, clock.now_ms(), used=1)
    send(governor, 1, clock.now_ms() + 50_000, used=2400)
    clock.advance(60)
    pace.begin(SYMBOLS)
    for _ in range(3):
        send(governor, 1, clock.now_ms() + 50_000, used=2400)
        clock.advance(60)
        assert not pace.may_begin(SYMBOLS)
    assert pace.interval_s == 300.0
