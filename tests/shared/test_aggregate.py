"""The sum over venues: who is in it, who is not and why, and what counts as a change."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.aggregate import Out, aggregate, change, shares
from shared.model import VenueOpenInterest
from tests.builders import NOW_MS
from tests.venue_poller.told import told

PAST = (Decimal(900), Decimal(800), None)


def row(venue: str, base: str = "1000", symbol: str = "BTCUSDT", **changes: object) -> VenueOpenInterest:
    return told(symbol, base, venue=venue, **changes)


def test_a_sum_names_its_members_and_its_age() -> None:
    found = aggregate(
        "BTC", [row("bybit", price="10"), row("okx", "500", price="11", received_ms=NOW_MS - 4000)], NOW_MS
    )

    assert (found.base, found.usd, found.oldest_s) == (Decimal(1500), Decimal(15500), 4.0)
    assert found.venues == {"bybit", "okx"}
    assert found.out == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sides": "unknown"}, "unknown_sides"),
        ({"sides": "both"}, "both_sides"),
        ({"received_ms": NOW_MS - 30_001}, "stale"),
        ({"received_ms": NOW_MS + 10_001}, "stale"),
        ({"price": None}, "no_mark"),
    ],
)
def test_what_is_not_in_it_is_named(changes: dict[str, object], why: str) -> None:
    found = aggregate("BTC", [row("bybit"), row("gate", **changes)], NOW_MS)

    assert (found.base, found.out) == (Decimal(1000), (Out("gate", "BTCUSDT", why),))


@pytest.mark.parametrize("age_ms", [-10_000, 0, 30_000])
def test_young_enough_is_in(age_ms: int) -> None:
    assert aggregate("BTC", [row("bybit", received_ms=NOW_MS - age_ms)], NOW_MS).out == ()


def test_what_was_refused_is_named_by_that_while_its_last_good_row_grows_old() -> None:
    refused = [Out("okx", "BTC-USDT-SWAP", "jump"), Out("gate", "BTC_USDT", "absurd")]
    old = row("okx", symbol="BTC-USDT-SWAP", received_ms=NOW_MS - 60_000)

    found = aggregate("BTC", [row("bybit"), old], NOW_MS, refused)

    assert found.out == (Out("gate", "BTC_USDT", "absurd"), Out("okx", "BTC-USDT-SWAP", "jump"))


def test_nothing_known_is_no_zero() -> None:
    found = aggregate("BTC", [], NOW_MS)

    assert (found.members, found.oldest_s) == ((), None)
    assert change(found, 300) is None


def test_a_venue_that_joins_is_no_change() -> None:
    """Nor one that leaves: only what is in both instants is compared."""
    with_both = aggregate("BTC", [row("bybit", "1000", past=PAST), row("okx", "5000")], NOW_MS)

    assert change(with_both, 300) == Decimal(1000) / Decimal(900) - 1
    assert change(with_both, 3600) is None


def test_a_change_is_of_coins_not_of_their_price() -> None:
    cheap, dear = (aggregate("BTC", [row("bybit", "900", price=p, past=PAST)], NOW_MS) for p in ("10", "20"))

    assert change(cheap, 300) == change(dear, 300) == 0


def test_each_venue_s_share_now_and_then() -> None:
    """Of then only where every member of now is known of then: a share of fewer is no earlier share."""
    rows = [row("bybit", "1000", past=PAST), row("bybit", "500", "BTCUSD", past=PAST), row("okx", "500", past=PAST)]
    found = aggregate("BTC", rows, NOW_MS)

    assert shares(found) == {"bybit": Decimal("0.75"), "okx": Decimal("0.25")}
    assert shares(found, 300) == {"bybit": Decimal(2) / 3, "okx": Decimal(1) / 3}
    assert shares(found, 3600) == {}
    assert shares(aggregate("BTC", [*rows, row("gate", "1")], NOW_MS), 300) == {}


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["binance", "bybit", "okx", "gate", "bitget"]),
        st.integers(1, 10**9).map(str),
        symbol=st.sampled_from(["A", "B"]),
        sides=st.sampled_from(["one", "both", "unknown"]),
        received_ms=st.integers(NOW_MS - 60_000, NOW_MS),
        price=st.sampled_from(["0.0001", "1", "93000"]),
    ),
    max_size=8,
    unique_by=lambda one: (one.venue, one.symbol),
)


@given(ROWS)
def test_every_row_is_in_the_sum_or_named_and_never_both(rows: list[VenueOpenInterest]) -> None:
    found = aggregate("BTC", rows, NOW_MS)

    inside = {(one.venue, one.symbol) for one in found.members}
    outside = {(one.venue, one.symbol) for one in found.out}
    assert inside.isdisjoint(outside)
    assert inside | outside == {(one.venue, one.symbol) for one in rows}
    assert found.base == sum(one.base for one in rows if (one.venue, one.symbol) in inside)
    assert all(one.sides == "one" for one in found.members)
