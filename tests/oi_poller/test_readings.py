"""What a sweep is recorded as: fresh readings, carried ones, and the prices of its moment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.oi_poller.readings import CARRY_MS, Readings
from services.oi_poller.sweep import Failure, Outcome
from tests.builders import NOW_MS, mark, oi, reading

OLD_MS = NOW_MS - 10_000


def readings() -> Readings:
    made = Readings(mark_max_age_s=15)
    made.recall({s: reading(s, "7", received_ms=OLD_MS) for s in ("BTCUSDT", "SOLUSDT")})
    return made


def failed(*symbols: str) -> Outcome:
    return Outcome({"BTCUSDT": oi("BTCUSDT", "8")}, dict.fromkeys(symbols, Failure.TIMEOUT), None)


def test_a_symbol_that_failed_carries_its_last_reading_with_the_price_of_now() -> None:
    """A value ten seconds old, marked as old, is better than a hole; the publisher judges its age."""
    record = readings().record(failed("SOLUSDT", "NEWUSDT"), {"SOLUSDT": mark("SOLUSDT", "7.5")}, NOW_MS - 900, NOW_MS)

    assert (record.started_ms, record.ended_ms) == (NOW_MS - 900, NOW_MS)
    assert record.failures == {"SOLUSDT": "timeout", "NEWUSDT": "timeout"}
    assert record.readings.keys() == {"BTCUSDT", "SOLUSDT"}
    assert record.readings["SOLUSDT"].mark_price == Decimal("7.5")
    assert record.readings["SOLUSDT"].open_interest == reading("SOLUSDT", "7", received_ms=OLD_MS).open_interest
    assert record.readings["BTCUSDT"].open_interest.open_interest == 8


@pytest.mark.parametrize(
    ("received_ms", "carried"),
    [
        (NOW_MS - CARRY_MS, True),
        (NOW_MS - CARRY_MS - 1, False),
        (NOW_MS + CARRY_MS, True),
        (NOW_MS + CARRY_MS + 1, False),  # of a clock that was set back since
    ],
)
def test_a_reading_is_carried_for_ten_minutes(received_ms: int, carried: bool) -> None:
    made = readings()
    made.recall({"SOLUSDT": reading("SOLUSDT", received_ms=received_ms)})

    assert ("SOLUSDT" in made.record(failed("SOLUSDT"), {}, NOW_MS, NOW_MS).readings) is carried


@pytest.mark.parametrize(
    ("received_ms", "price"), [(NOW_MS - 15_000, 7), (NOW_MS - 15_001, None), (NOW_MS + 15_001, None)]
)
def test_a_price_that_stopped_goes_with_no_sweep(received_ms: int, price: int | None) -> None:
    """A late sweep is published with the prices it carries: an old one would be passed off as that of its moment."""
    marks = {"BTCUSDT": mark("BTCUSDT", "7", received_ms=received_ms)}

    assert readings().record(failed(), marks, NOW_MS, NOW_MS).readings["BTCUSDT"].mark_price == price


def test_the_stalest_is_asked_first() -> None:
    """Where a sweep is cut short, it must not always be the same ones that fail."""
    made = readings()
    made.record(failed(), {}, NOW_MS, NOW_MS)

    assert made.stalest_first(["BTCUSDT", "SOLUSDT", "NEWUSDT"]) == ["NEWUSDT", "SOLUSDT", "BTCUSDT"]


def test_what_left_is_carried_no_more() -> None:
    made = readings()
    made.forget(["SOLUSDT", "NEVER"])

    assert "SOLUSDT" not in made.record(failed("SOLUSDT"), {}, NOW_MS, NOW_MS).readings
