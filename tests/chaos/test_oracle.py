"""The judge of posted rows must find every kind of falsehood, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from dev.exchange.market import DAY_MS
from dev.exchange.values import made_ms
from tests.chaos.oracle import Bounds, judge, row_of

NOW_MS = 1_764_720_000_000 + 43_200_123
BOUNDS = Bounds(mark_ms=7_000, open_interest_ms=20_000)
WHOLE = {"BTCUSDT": 82345}
NO_SKEW = frozenset({0})


def value(whole: int, at_ms: int) -> float:
    return float(f"{whole}.{at_ms % DAY_MS:08d}")


def row(mark_age_ms: int = 500, oi_age_ms: int = 800, **changed: Any) -> dict[str, Any]:
    oi, mark = value(82345, NOW_MS - oi_age_ms), value(93041, NOW_MS - mark_age_ms)
    raw = {"symbol": "BTCUSDT", "openInterest": oi, "markPrice": mark, "openInterestUsd": oi * mark}
    return raw | {"timestamp": NOW_MS, "insertedAt": NOW_MS + 30} | changed


def test_a_fresh_row_is_right() -> None:
    assert judge(row(), WHOLE, BOUNDS, NO_SKEW) == ""


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (row(openInterestUsd=0.0), "not above zero"),
        (row(markPrice=-5.0), "not above zero"),
        (row(openInterest=None), "not above zero"),
        (row(openInterestUsd=float("nan")), "not above zero"),
        (row(openInterestUsd=7_661_501_742.1), "is not"),
        (row(mark_age_ms=7_001), "markPrice"),
        (row(oi_age_ms=20_001), "openInterest"),
        (row(mark_age_ms=-1_000), "markPrice"),
        (row(insertedAt=NOW_MS - 5_000), "markPrice"),
        (row(symbol="BTCUSDT") | {"openInterest": 7.5, "openInterestUsd": 7.5 * row()["markPrice"]}, "another symbol"),
    ],
)
def test_each_falsehood_is_found(raw: dict[str, Any], says: str) -> None:
    """A column that cannot turn proves nothing."""
    assert says in judge(raw, WHOLE, BOUNDS, NO_SKEW)


def test_a_late_batch_is_judged_by_its_own_time() -> None:
    """A backlog delivered a minute later is right for its timestamp, and is not claimed to be live."""
    late = row(insertedAt=NOW_MS + 60_000)
    assert judge(late, WHOLE, BOUNDS, NO_SKEW) == ""


def test_a_value_of_before_midnight_is_dated_before_midnight() -> None:
    midnight = NOW_MS // DAY_MS * DAY_MS
    assert made_ms(value(5, midnight - 3), midnight + 2) == midnight - 3
    assert made_ms(value(5, midnight + 3), midnight - 2) == midnight + 3


def test_a_clock_that_is_known_to_be_off_is_put_right() -> None:
    ahead = row(mark_age_ms=500 - 90_000, oi_age_ms=800)
    assert "markPrice" in judge(ahead, WHOLE, BOUNDS, NO_SKEW)
    assert judge(ahead, WHOLE, BOUNDS, frozenset({0, 90_000})) == ""
    assert row_of(ahead, frozenset({0, 90_000})).made_ms == NOW_MS - 800
