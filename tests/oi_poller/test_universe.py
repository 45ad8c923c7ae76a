"""Who is polled: the exchange's list, the thresholds, and what must not shake them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.oi_poller.universe import FEW, HELD_S, WHOLE_WITHIN_S, Change, Rules, Universe
from shared.model import QuoteVolume
from shared.venues.binance.bodies import Listing
from tests.builders import NOW_MS, volume

RULES = Rules(frozenset({"PERPETUAL"}), frozenset({"USDT"}), 4_000_000, 2_000_000)


def listing(symbol: str, status: str = "TRADING", onboard_ms: int = 1, kind: str = "PERPETUAL", quote: str = "USDT"):
    return Listing(symbol, kind, quote, status, onboard_ms)


def listed(*listings: Listing) -> dict[str, Listing]:
    return {one.symbol: one for one in listings}


def universe(*listings: Listing) -> Universe:
    made = Universe(RULES)
    assert made.believe(listed(*listings)) is None
    return made


def volumes(**quotes: int) -> dict[str, QuoteVolume]:
    return {symbol: volume(symbol, str(quote)) for symbol, quote in quotes.items()}


def polling(symbols: Iterable[str], quote: int = 5_000_000) -> Universe:
    """All these listed, and members."""
    made = universe(*map(listing, symbols))
    made.look(volumes(**dict.fromkeys(symbols, quote)), NOW_MS, 0.0)
    return made


def test_only_trading_contracts_of_the_chosen_kind_and_quote_enter() -> None:
    """A settled contract keeps its mark for months; a BTC quote is not dollars."""
    everyone = [
        listing("BTCUSDT"),
        listing("OMGUSDT", status="SETTLING"),
        listing("NEWUSDT", status="PENDING_TRADING"),
        listing("XAUUSDT", kind="TRADIFI_PERPETUAL"),
        listing("ETHBTC", quote="BTC"),
        listing("ODDUSDT", kind=""),
    ]
    polled = universe(*everyone)

    change = polled.look(volumes(**{one.symbol: 9_000_000 for one in everyone}), NOW_MS, 0.0)

    assert change.entered == list(polled.members) == ["BTCUSDT"]


def test_thresholds_are_inclusive_above_and_exclusive_below() -> None:
    """Enters at the enter threshold, leaves under the exit threshold: the operator's own words."""
    polled = universe(listing("A"), listing("B"))

    polled.look(volumes(A=4_000_000, B=3_999_999), NOW_MS, 0.0)
    assert set(polled.members) == {"A"}
    assert polled.look(volumes(A=2_000_000), NOW_MS, 0.0).left == []
    assert polled.look(volumes(A=1_999_999), NOW_MS, 0.0).left == ["A"]
    assert polled.departed == {"A"}


@given(st.lists(st.none() | st.integers(0, 6_000_000), max_size=30))
def test_hysteresis_is_the_obvious_state_machine(history: list[int | None]) -> None:
    """Each symbol: in at 4 M, out under 2 M, unchanged between and while nothing is known."""
    polled = universe(listing("A"), listing("STEADY"))
    polled.look(volumes(A=0, STEADY=5_000_000), NOW_MS, 0.0)
    expected = False
    for quote in history:
        expected = expected if quote is None else quote >= 4_000_000 or (expected and quote >= 2_000_000)

        polled.look(volumes(STEADY=5_000_000, **({} if quote is None else {"A": quote})), NOW_MS, 0.0)

        assert ("A" in polled.members) is expected
        assert "STEADY" in polled.members


def test_a_member_keeps_when_it_entered_and_is_seen_at_every_look() -> None:
    polled = polling("A")
    polled.look({}, NOW_MS + 1, 0.0)

    member = polled.members["A"]
    assert (member.entered_ms, member.last_seen_ms, member.quote_volume) == (NOW_MS, NOW_MS + 1, Decimal(5_000_000))


def test_who_left_because_the_exchange_says_so_is_told_apart() -> None:
    """The publisher holds back a universe that shrinks at once, but for these."""
    polled = polling("ABC")
    polled.drop({"C"})
    polled.departed.clear()  # written, as after each sweep
    polled.believe(listed(listing("A"), listing("B", status="SETTLING")))

    assert polled.look(volumes(A=1_000_000), NOW_MS, 0.0).left == ["A", "B"]
    polled.departed.clear()  # written
    assert polled.look({}, NOW_MS, 0.0) == Change([], [], [])

    assert polled.delisted == {"B", "C"}
    polled.believe(listed(listing("C"), listing("A")))
    polled.look(volumes(C=9_000_000), NOW_MS, 0.0)
    assert polled.delisted == {"B"}


def test_a_relisted_ticker_is_a_new_member_with_nothing_of_the_old() -> None:
    """The same four letters can be another coin: its history must not be continued."""
    polled = polling(["LITUSDT"])
    polled.believe(listed(listing("LITUSDT", onboard_ms=NOW_MS + 10)))

    change = polled.look({"LITUSDT": volume("LITUSDT", "5000000", event_ms=NOW_MS + 20)}, NOW_MS + 30, 0.0)

    assert (change.left, change.entered) == (["LITUSDT"], ["LITUSDT"])
    assert polled.members["LITUSDT"].entered_ms == NOW_MS + 30
    assert polled.departed == {"LITUSDT"}


def test_a_volume_older_than_the_listing_is_of_the_dead_namesake() -> None:
    """Its 24 h volume row is still in Redis on the day the ticker comes back."""
    polled = universe(listing("LITUSDT", onboard_ms=NOW_MS + 10))

    polled.look({"LITUSDT": volume("LITUSDT", "5000000", event_ms=NOW_MS + 9)}, NOW_MS + 30, 0.0)
    assert polled.members == {}

    polled.look({"LITUSDT": volume("LITUSDT", "5000000", event_ms=NOW_MS + 10)}, NOW_MS + 30, 0.0)
    assert set(polled.members) == {"LITUSDT"}


def test_a_dropped_symbol_stays_out_until_a_newer_list_has_it() -> None:
    """The exchange's list lags behind its own -4108; re-entering at each look would ask for it for ever."""
    polled = polling("AB")

    assert polled.drop({"A"})
    polled.look(volumes(A=5_000_000, B=5_000_000), NOW_MS, 0.0)
    assert set(polled.members) == {"B"}

    polled.believe(listed(listing("A"), listing("B")))
    assert polled.look(volumes(A=5_000_000), NOW_MS, 0.0).entered == ["A"]
    assert polled.departed == set()


def test_an_absurd_list_changes_nothing() -> None:
    """An empty or halved answer of the exchange must not empty the dashboard."""
    polled = polling("ABCD")

    assert "none of 0" in (polled.believe({}) or "")
    assert "only 1 of 4" in (polled.believe(listed(listing("A"), listing("B", status="SETTLING"))) or "")
    assert polled.look({}, NOW_MS, 0.0).left == []

    assert polled.believe(listed(listing("A"), listing("B"))) is None
    assert polled.look({}, NOW_MS, 0.0).left == ["C", "D"]


def test_members_of_the_run_before_are_polled_before_the_list_is_known() -> None:
    """A restart while exchangeInfo is down goes on with what it knew."""
    polled = Universe(RULES)
    polled.members = polling("A").members

    assert polled.look(volumes(A=1), NOW_MS, 0.0) == Change([], [], [])
    assert set(polled.members) == {"A"}


def test_other_settings_do_not_make_the_list_look_absurd() -> None:
    """An operator who changes OI_QUOTE_ASSETS has members that are TRADING and no longer wanted."""
    dollars = Universe(Rules(frozenset({"PERPETUAL"}), frozenset({"USDC"}), 4_000_000, 2_000_000))
    dollars.members = polling("AB").members

    assert dollars.believe(listed(listing("A"), listing("B"), listing("C", quote="USDC"))) is None
    assert dollars.look(volumes(C=5_000_000), NOW_MS, 0.0).left == ["A", "B"]
    assert set(dollars.members) == {"C"}


MANY = [f"S{n:02}" for n in range(50)]


def of_many(quote: int = 3_000_000) -> Universe:
    """Fifty members, all of them between the thresholds by now."""
    made = polling(MANY)
    made.look(volumes(**dict.fromkeys(MANY, quote)), NOW_MS, 0.0)
    made.departed.clear()
    return made


@pytest.mark.parametrize(("waited_s", "known", "unknown"), [(WHOLE_WITHIN_S - 1, 49, 0), (WHOLE_WITHIN_S, 37, 13)])
def test_the_first_universe_waits_until_the_volumes_are_whole_and_not_for_ever(
    waited_s: float, known: int, unknown: int
) -> None:
    """A trickle of tickers would make a part of it, and the backend deletes whoever is not in the list.

    Where the seeding fails, most of it is better than none.
    """
    polled = universe(*map(listing, MANY))
    trickled = volumes(**dict.fromkeys(MANY[:37], 9_000_000))

    assert polled.look({}, NOW_MS, 0.0) == Change([], [], [])
    assert polled.look(trickled, NOW_MS, 1000.0) == Change([], [], [], 13, waits=True)
    assert polled.look(trickled, NOW_MS, 1000.0 + WHOLE_WITHIN_S - 1).waits
    assert polled.members == {}

    change = polled.look(volumes(**dict.fromkeys(MANY[:known], 9_000_000)), NOW_MS, 1000.0 + waited_s)

    assert (change.entered, change.unknown, change.waits) == (MANY[:known], unknown, False)


def test_members_of_the_run_before_wait_for_no_volume() -> None:
    polled = of_many()

    assert polled.look(volumes(S00=9_000_000), NOW_MS, 0.0) == Change([], [], [])


def test_many_volumes_that_fall_at_once_take_nobody_away_for_some_minutes() -> None:
    """A feed that goes wrong, not fifty markets that went quiet in one second."""
    polled = of_many()
    fallen = volumes(**dict.fromkeys(MANY[:6], 1), **dict.fromkeys(MANY[6:], 9_000_000))

    change = polled.look(fallen, NOW_MS + 1, 100.0)

    assert (change.left, change.held) == ([], MANY[:6])
    assert polled.members["S00"].quote_volume == Decimal(3_000_000)
    assert polled.members["S00"].last_seen_ms == NOW_MS + 1
    assert polled.look(fallen, NOW_MS, 100.0 + HELD_S - 1).left == []
    assert polled.look(fallen, NOW_MS, 100.0 + HELD_S).left == MANY[:6]


def test_volumes_that_came_back_begin_the_waiting_anew() -> None:
    polled = of_many()
    fallen = volumes(**dict.fromkeys(MANY, 1))
    polled.look(fallen, NOW_MS, 0.0)
    polled.look(volumes(**dict.fromkeys(MANY, 9_000_000)), NOW_MS, HELD_S - 1)

    assert polled.look(fallen, NOW_MS, HELD_S + 1).left == []


def test_a_tenth_may_go_at_once_and_a_few_of_a_small_universe() -> None:
    assert of_many().look(volumes(**dict.fromkeys(MANY[:5], 1)), NOW_MS, 0.0).left == MANY[:5]
    small = polling("ABCD")
    assert len(small.look(volumes(**dict.fromkeys("ABC", 1)), NOW_MS, 0.0).left) == FEW


def test_many_that_are_gone_at_once_are_not_believed_before_the_list_says_so() -> None:
    """-1121 to everything for 14 s emptied the universe; those between the thresholds stayed out for good."""
    polled = of_many()

    assert not polled.drop(set(MANY))
    assert (polled.look({}, NOW_MS, 0.0).left, set(polled.members), polled.departed) == ([], set(MANY), set())

    assert polled.believe({s: listing(s) for s in MANY}) is None
    assert polled.look({}, NOW_MS, 0.0) == Change([], [], [])


def test_a_list_that_says_the_same_is_believed_at_once() -> None:
    """Alone it would be absurd: of so many known symbols none trades."""
    polled = of_many()
    closed = {s: listing(s, status="SETTLING") for s in MANY}
    assert "none of 50" in (polled.believe(closed) or "")

    polled.drop(set(MANY))

    assert polled.believe(closed) is None
    assert polled.look({}, NOW_MS, 0.0).left == MANY


def test_many_go_no_faster_one_by_one() -> None:
    """Five a sweep would empty it as surely as fifty at once."""
    polled = of_many()

    assert polled.drop(set(MANY[:5]))
    assert not polled.drop(set(MANY[5:7]))
    assert polled.drop(set())
    assert set(polled.members) == set(MANY[5:])

    polled.believe({s: listing(s) for s in MANY if s != "S04"})
    assert polled.look({}, NOW_MS, 0.0).entered == MANY[:4]
    assert polled.drop(set(MANY[5:7]))


@pytest.mark.parametrize("lists", [1, 2])
def test_who_was_dropped_by_mistake_comes_back_as_it_was(lists: int) -> None:
    """Below the enter threshold it would otherwise stay out, and its entry would be a new one.

    Two lists may come before anybody looks: a sweep of many minutes is under way.
    """
    polled = of_many()
    polled.drop({"S00"})
    polled.look({}, NOW_MS + 5, 0.0)
    assert polled.departed == {"S00"}

    for _ in range(lists):
        polled.believe({s: listing(s) for s in MANY})

    assert polled.look({}, NOW_MS + 9, 0.0).entered == ["S00"]
    assert polled.members["S00"].entered_ms == NOW_MS
    assert polled.departed == set()
    assert polled.look(volumes(S00=1), NOW_MS, 0.0).left == ["S00"]
    assert polled.look(volumes(S00=3_000_000), NOW_MS, 0.0).entered == []  # it comes back as it was but once


def test_a_contract_type_of_a_new_name_takes_no_member_away() -> None:
    """The contracts are the same, and trade; those that are new wait for OI_CONTRACT_TYPES."""
    polled = of_many()
    renamed = [listing(s, kind="LINEAR_PERPETUAL") for s in [*MANY, "NEW"]]

    assert polled.believe(listed(*renamed)) is None

    assert polled.look(volumes(NEW=9_000_000), NOW_MS, 0.0) == Change([], [], [])
    assert polled.kinds.renamed == {"LINEAR_PERPETUAL": MANY}
    assert polled.kinds.not_polled == {"LINEAR_PERPETUAL": 1}
    assert polled.kinds.absent == {"PERPETUAL"}


@pytest.mark.parametrize(
    "kind",
    [
        "TRADIFI_PERPETUAL",
        "CURRENT_QUARTER",
        "NEXT_QUARTER",
        "CURRENT_MONTH",
        "NEXT_MONTH",
        "PERPETUAL_DELIVERING",
        "CURRENT_QUARTER DELIVERING",
        "NEXT_QUARTER DELIVERING",
        "",
    ],
)
def test_a_member_that_becomes_a_known_other_kind_leaves(kind: str) -> None:
    """It is delivered, or the exchange counts it among the quarterlies: nobody asked for that."""
    polled = polling("AB")

    polled.believe(listed(listing("A", kind=kind), listing("B")))

    assert polled.look({}, NOW_MS, 0.0).left == ["A"]


def test_what_trades_and_is_not_polled_is_counted() -> None:
    polled = universe(
        listing("A"),
        listing("XAU", kind="TRADIFI_PERPETUAL"),
        listing("OLD", kind="TRADIFI_PERPETUAL", status="SETTLING"),
        listing("BTCX", kind="TRADIFI_PERPETUAL", quote="BTC"),
    )

    assert polled.kinds.not_polled == {"TRADIFI_PERPETUAL": 1}
    assert polled.kinds.absent == frozenset()
