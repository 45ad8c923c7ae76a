"""Which symbols are published, and why the others are not."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.join import LEFT_OUT, SKEW_MS, Books, Limits, join, own_marks
from shared.model import MarkPrice, OpenInterest, Reading, Sweep, backend_key
from tests.builders import NOW_MS, mark, reading, sweep

LIMITS = Limits(mark_max_age_s=15, oi_max_age_s=60)


def joined(one_sweep: Sweep, *marks: MarkPrice, now_ms: int = NOW_MS, members: set[str] | None = None) -> Books:
    return join(one_sweep, {m.symbol: m for m in marks}, now_ms, LIMITS, members)


def test_a_row_carries_contracts_notional_and_price() -> None:
    books = joined(sweep(reading("BTCUSDT", "82345.123")), mark("BTCUSDT", "93041.35202399"))

    (row,) = books.records
    assert row.open_interest == 82345.123
    assert row.mark_price == 93041.35202399
    assert row.notional == float(Decimal("82345.123") * Decimal("93041.35202399"))
    assert row.funding_rate == 0.0001


@pytest.mark.parametrize(
    ("reason", "oi_changes", "mark_changes"),
    [
        ("zero_open_interest", {"contracts": "0"}, {}),
        ("zero_open_interest", {"contracts": "0.000"}, {}),
        ("stale_open_interest", {"received_ms": NOW_MS - 60_001}, {}),
        ("stale_open_interest", {"received_ms": NOW_MS + SKEW_MS + 1}, {}),
        ("non_finite", {"contracts": "NaN"}, {}),
        ("non_finite", {"contracts": "Infinity"}, {}),
        ("non_finite", {"contracts": "1e-400"}, {}),
        ("non_finite", {"contracts": "1e400"}, {}),
        ("non_finite", {"contracts": "1e999999"}, {"price": "1e999999"}),
        ("missing_mark", {}, None),
        ("non_positive_mark", {}, {"price": "0"}),
        ("non_positive_mark", {}, {"price": "-54.15"}),
        ("non_finite", {}, {"price": "NaN"}),
        ("non_finite", {}, {"price": "sNaN"}),
        ("stale_mark", {}, {"received_ms": NOW_MS - 15_001}),
        ("stale_mark", {}, {"received_ms": NOW_MS + SKEW_MS + 1}),
        ("stale_mark", {}, {"event_ms": NOW_MS - 15_000 - SKEW_MS - 1}),
    ],
)
def test_each_fault_has_its_name(reason: str, oi_changes: dict[str, Any], mark_changes: dict[str, Any] | None) -> None:
    """An operator reads the reason in oi:left_out; nothing goes out as zero."""
    contracts = Decimal(oi_changes.get("contracts", "1"))
    received_ms = oi_changes.get("received_ms", NOW_MS)
    row = Reading(OpenInterest("BTCUSDT", contracts, NOW_MS, received_ms), None)
    marks = [] if mark_changes is None else [mark("BTCUSDT", **mark_changes)]

    books = joined(sweep(row), *marks)

    assert books.records == []
    assert books.left_out == {"BTCUSDT": reason}
    assert reason in LEFT_OUT


def test_the_limits_themselves_are_young_enough() -> None:
    at_limit = mark("BTCUSDT", received_ms=NOW_MS - 15_000, event_ms=NOW_MS - 15_000 - SKEW_MS)

    assert len(joined(sweep(reading("BTCUSDT", received_ms=NOW_MS - 60_000)), at_limit).records) == 1


def test_a_failed_symbol_is_published_with_its_last_good_reading_while_that_is_young() -> None:
    """One failed request must not blank a symbol; an old value must not pass for a new one."""
    young = reading("BTCUSDT", received_ms=NOW_MS - 30_000)
    old = reading("ETHUSDT", received_ms=NOW_MS - 61_000)
    failures = {"BTCUSDT": "timeout", "ETHUSDT": "timeout", "SOLUSDT": "timeout"}

    books = joined(sweep(young, old, failures=failures), mark("BTCUSDT"), mark("ETHUSDT"), mark("SOLUSDT"))

    assert [row.symbol for row in books.records] == ["BTCUSDT"]
    assert books.failed == {"ETHUSDT", "SOLUSDT"}
    assert books.left_out == {}


def test_a_symbol_that_left_the_universe_since_the_sweep_is_not_published() -> None:
    books = joined(sweep(reading("BTCUSDT"), reading("OMGUSDT")), mark("BTCUSDT"), mark("OMGUSDT"), members={"BTCUSDT"})

    assert [row.symbol for row in books.records] == ["BTCUSDT"]
    assert books.left_out == {"OMGUSDT": "not_in_universe"}


def test_an_emptied_universe_says_nothing() -> None:
    """Redis came back empty and the poller has not written its universe yet: the sweep is the better word."""
    assert len(joined(sweep(reading("BTCUSDT")), mark("BTCUSDT"), members=set()).records) == 1


def test_of_symbols_the_backend_takes_for_one_only_the_one_spelled_its_way_is_sent() -> None:
    """Two rows under one key would overwrite one another, and the wrong one could win."""
    names = ["BTCUSDT", "BTC_USDT", "BTC-USDT", "ETH_USDT", "ETH-USDT", "BTCUSDT_261225"]

    books = joined(sweep(*map(reading, names)), *map(mark, names))

    assert [row.symbol for row in books.records] == ["BTCUSDT", "BTCUSDT_261225"]
    assert set(books.left_out.values()) == {"symbol_collision"}


def test_a_late_sweep_is_joined_with_the_marks_of_its_own_time() -> None:
    """Today's price on yesterday's open interest would be a number that never was."""
    late = sweep(reading("BTCUSDT", "2", price="100"), reading("ETHUSDT", price=None), ended_ms=NOW_MS)

    books = join(late, own_marks(late), late.ended_ms, LIMITS)

    assert [(row.notional, row.funding_rate) for row in books.records] == [(200.0, None)]
    assert books.left_out == {"ETHUSDT": "missing_mark"}


def test_books_that_do_not_close_are_seen() -> None:
    row = joined(sweep(reading("BTCUSDT")), mark("BTCUSDT")).records[0]

    assert Books({"BTCUSDT"}, [row], {}, set()).unaccounted == 0
    assert Books({"BTCUSDT", "ETHUSDT"}, [row], {}, set()).unaccounted == 1
    assert Books({"BTCUSDT"}, [row], {"BTCUSDT": "stale_mark"}, set()).unaccounted == 1
    assert Books({"BTCUSDT"}, [row], {}, {"SOLUSDT"}).unaccounted == 1
    assert Books({"BTCUSDT"}, [row, row], {}, set()).unaccounted == 1


SYMBOLS = st.sampled_from(["BTCUSDT", "BTC_USDT", "ETHUSDT", "币安人生USDT", "1000PEPEUSDT", "ethusdt", "A-B"])
STAMPS = st.integers(NOW_MS - 100_000, NOW_MS + 30_000)
DECIMALS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.decimals(min_value=Decimal(-5), max_value=Decimal("1e9"), places=4),
    st.sampled_from([Decimal("sNaN"), Decimal("1e999999"), Decimal("1e-999999"), Decimal("-0"), Decimal(0)]),
)


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    readings = {
        symbol: Reading(OpenInterest(symbol, draw(DECIMALS), draw(STAMPS), draw(STAMPS)), draw(st.none() | DECIMALS))
        for symbol in draw(st.sets(SYMBOLS))
    }
    return Sweep("s", NOW_MS - 900, NOW_MS, readings, draw(st.dictionaries(SYMBOLS, st.just("timeout"))))


MARKS = st.dictionaries(
    SYMBOLS, st.builds(MarkPrice, st.just("x"), DECIMALS, st.none(), st.none() | DECIMALS, st.just(0), STAMPS, STAMPS)
)


@given(sweeps(), MARKS, st.none() | st.sets(SYMBOLS))
def test_the_books_always_close_and_no_row_is_unfit(
    one_sweep: Sweep, marks: dict[str, MarkPrice], members: set[str] | None
) -> None:
    books = join(one_sweep, marks, NOW_MS, LIMITS, members)

    published = [row.symbol for row in books.records]
    assert sorted([*published, *books.left_out, *books.failed]) == sorted(one_sweep.universe())
    assert books.unaccounted == 0
    assert set(books.left_out.values()) <= set(LEFT_OUT)
    for row in books.records:
        assert all(math.isfinite(n) and n > 0 for n in (row.open_interest, row.notional, row.mark_price))
        assert row.funding_rate is None or math.isfinite(row.funding_rate)
    assert len({backend_key(symbol) for symbol in published}) == len(published)


@given(sweeps())
def test_a_late_sweep_never_sends_what_is_unfit_either(one_sweep: Sweep) -> None:
    books = join(one_sweep, own_marks(one_sweep), one_sweep.ended_ms, LIMITS)

    assert books.unaccounted == 0
    assert all(math.isfinite(row.notional) and row.notional > 0 for row in books.records)
