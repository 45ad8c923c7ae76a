"""What stood at 5 min, 15 min and an hour ago."""

from __future__ import annotations

from decimal import Decimal

from services.venue_poller.past import Past
from tests.builders import NOW_MS
from tests.venue_poller.told import told


def filled(minutes: int, *, gap: range = range(0)) -> Past:
    """One row each five seconds; its figure is the second."""
    past = Past()
    for second in range(0, minutes * 60 + 1, 5):
        if second // 60 not in gap:
            past.note([told(base=f"{1 + second}", received_ms=NOW_MS + second * 1000)])
    return past


def test_it_is_the_sample_nearest_to_the_instant() -> None:
    then, earlier, earliest = filled(90).of(told(), NOW_MS + 90 * 60_000)

    assert (then, earlier, earliest) == (Decimal(85 * 60 + 1), Decimal(75 * 60 + 1), Decimal(30 * 60 + 1))


def test_before_the_first_sample_there_is_nothing() -> None:
    assert filled(6).of(told(), NOW_MS + 6 * 60_000) == (Decimal(61), None, None)
    assert filled(6).of(told("ETHUSDT"), NOW_MS) == (None, None, None)


def test_a_gap_is_not_bridged() -> None:
    assert filled(20, gap=range(13, 18)).of(told(), NOW_MS + 20 * 60_000)[0] is None


def test_what_is_forgotten_or_old_is_gone() -> None:
    past = filled(10)
    past.forget(told())
    assert past.of(told(), NOW_MS + 600_000) == (None, None, None)

    past = filled(10)
    past.prune(NOW_MS + 3 * 3_600_000)
    assert past._samples == {}


def test_one_side_and_both_are_never_compared() -> None:
    assert filled(10).of(told(sides="unknown"), NOW_MS + 600_000) == (None, None, None)
