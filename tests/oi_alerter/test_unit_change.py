"""A contract whose unit changes: ten times the contracts at a tenth of the price are the same open interest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.oi_alerter.detector import Frame
from services.oi_alerter.history import Sample, is_unit_change
from tests.fakes import FakeClock
from tests.oi_alerter.market import FIVE, PRODUCTION, Market, Watch, names

CONTRACTS, PRICE = 1_000_000.0, 50.0
factors = st.one_of(st.sampled_from([1.5, 2.0, 10.0, 1000.0]), st.floats(1.5, 1e6)).flatmap(
    lambda k: st.sampled_from([k, 1 / k])
)
noise = st.floats(0.97, 1.03)


def quiet(clock: FakeClock, frames: tuple[Frame, ...] = (FIVE,)) -> Market:
    market = Market(clock, Watch(frames, min_contracts=0))
    market.run(CONTRACTS, s=max(frame.lookback_ms for frame in frames) // 1000 + 50, mark=PRICE)
    return market


@given(factors, noise, noise, st.sampled_from(["together", "price first", "contracts first"]))
def test_nothing_is_told_and_history_begins_anew(factor: float, moved: float, price_moved: float, order: str) -> None:
    """Price and contracts are read seconds apart, so one of them may come a sweep before the other."""
    market = quiet(FakeClock())
    contracts, price = CONTRACTS * factor * moved, PRICE / factor * price_moved

    alerts = []
    if order == "price first":
        alerts += market.run(CONTRACTS, s=10, mark=price)
    if order == "contracts first":
        alerts += market.run(contracts, s=10, mark=PRICE)
    alerts += market.run(contracts, s=400, mark=price)

    assert alerts == []
    (change,) = market.watch.unit_changes
    assert change.factor == pytest.approx(factor, rel=0.05)
    spike = market.run(contracts * 1.08, s=10, mark=price)
    assert names(spike) == ["UP 5 min"]
    assert spike[0].baseline.open_interest == contracts


@given(st.floats(1.5, 100), st.floats(0.8, 1.25), st.booleans())
def test_a_jump_that_the_price_does_not_undo_is_told_one_sample_later(factor: float, price: float, up: bool) -> None:
    market = quiet(FakeClock())
    contracts = CONTRACTS * (factor if up else 1 / factor)

    first = market.run(contracts, s=10, mark=PRICE * price)
    then = market.run(contracts, s=10, mark=PRICE * price)

    assert first == []
    assert names(then) == ["UP 5 min" if up else "DOWN 5 min"]
    assert market.watch.unit_changes == []


@pytest.mark.parametrize(
    ("factor", "value", "changed"),
    [
        (1.4, 1.0, True),
        (1.39, 1.0, False),
        (1 / 1.4, 1.0, True),
        (0.72, 1.0, False),
        (10, 1.09, True),
        (10, 1.11, False),
    ],
)
def test_what_counts_as_a_change_of_the_unit(factor: float, value: float, changed: bool) -> None:
    after = Sample(2, CONTRACTS * factor, PRICE * value / factor)
    assert is_unit_change(Sample(1, CONTRACTS, PRICE), after) is changed


def test_what_is_no_jump_waits_for_nothing(clock: FakeClock) -> None:
    market = quiet(clock)
    assert names(market.run(CONTRACTS * 1.3, s=10, mark=PRICE / 1.3)) == ["UP 5 min"]


def test_without_a_price_nobody_can_tell_and_it_is_told_at_once(clock: FakeClock) -> None:
    market = Market(clock, Watch())
    market.run(CONTRACTS, s=400)
    assert names(market.run(CONTRACTS * 10, s=10, mark=PRICE)) == ["UP 5 min"]


def test_a_price_that_is_missing_for_one_sample_hides_nothing(clock: FakeClock) -> None:
    market = quiet(clock)
    assert market.run(CONTRACTS * 10, s=10) == []
    assert market.run(CONTRACTS * 10, s=400, mark=PRICE / 10) == []
    assert len(market.watch.unit_changes) == 1


def test_the_past_that_the_exchange_tells_is_of_the_old_unit(clock: FakeClock) -> None:
    market = quiet(clock, PRODUCTION)
    changed_ms = clock.now_ms() + 10_000
    market.run(CONTRACTS * 10, s=60, mark=PRICE / 10)
    watch = market.watch

    watch.history.recall("ETHUSDT", [Sample(changed_ms - s * 1000, CONTRACTS, None) for s in (1200, 900, 600, 300)])

    assert watch.history.series["ETHUSDT"].first_ms == changed_ms
    assert market.run(CONTRACTS * 10, s=600, mark=PRICE / 10) == []


def test_a_restart_in_the_middle_of_it_changes_nothing(clock: FakeClock) -> None:
    market = quiet(clock)
    market.run(CONTRACTS * 10, s=10, mark=PRICE)
    market.watch.restart()
    assert market.run(CONTRACTS * 10, s=400, mark=PRICE / 10) == []
