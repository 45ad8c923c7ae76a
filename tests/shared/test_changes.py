"""What a change is, what it is not, and how it stands in Redis."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.changes import WINDOWS_MS, Change, change, changes, tolerance_ms
from shared.errors import WireError
from shared.history.block import Row
from shared.store import CHANGES
from tests.builders import NOW_MS

NOW = Row(NOW_MS, "110.00", "190.0")


def test_it_is_a_fraction_of_the_base_with_the_base_s_age() -> None:
    told = change(NOW, Row(NOW_MS - 300_500, "100.00", "200.0"))

    assert told == Change(pytest.approx(0.1), pytest.approx(-0.05), 300.5)


@pytest.mark.parametrize("base", [None, Row(NOW_MS - 300_000, "0.00", "200.0")])
def test_nothing_to_compare_with_is_no_change_of_zero(base: Row | None) -> None:
    assert change(NOW, base) is None


def test_a_mark_that_was_not_known_leaves_the_price_unknown_alone() -> None:
    told = change(NOW, Row(NOW_MS - 300_000, "100.00", None))

    assert told is not None
    assert told.price is None


def test_how_far_a_base_may_lie_from_where_it_should() -> None:
    minutes = {window: tolerance_ms(ms) / 60_000 for window, ms in WINDOWS_MS.items()}

    assert minutes == {"5m": 1, "15m": 1.875, "1h": 7.5, "4h": 30, "24h": 30, "7d": 30}


def test_it_can_be_read_with_redis_cli_and_read_back() -> None:
    told = changes(NOW, {"5m": Row(NOW_MS - 300_000, "100.00", "190.0"), "7d": Row(NOW_MS - 604_800_000, "55.0", None)})
    line = CHANGES.encode(told)

    assert json.loads(line) == {
        "at": NOW_MS,
        "oi": "110.00",
        "5m": {"change": pytest.approx(0.1), "price": 0.0, "age": 300.0},
        **dict.fromkeys(("15m", "1h", "4h", "24h")),
        "7d": {"change": 1.0, "price": None, "age": 604800.0},
    }
    assert CHANGES.decode("BTCUSDT", line) == told


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_what_cannot_be_read_is_named(blob: bytes) -> None:
    with pytest.raises(WireError, match="stored_changes: oi:changes BTCUSDT"):
        CHANGES.decode("BTCUSDT", blob)
