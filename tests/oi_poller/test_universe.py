"""Who is polled: the exchange's list, the thresholds, and what must not shake them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.oi_poller.universe import Rules, Universe
from services.oi_poller.wire import Listing
from shared.model import QuoteVolume
from tests.builders import NOW_MS, volume

RULES = Rules(frozenset({"PERPETUAL"}), frozenset({"USDT"}), 4_000_000, 2_000_000)


def listing(symbol: str, status: str = "TRADING", onboard_ms: int = 1, kind: str = "PERPETUAL", quote: str = "USDT"):
    return Listing(symbol, kind, quote, status, onboard_ms)


def universe(*listings: Listing) -> Universe:
    made = Universe(RULES)
    assert made.believe({one.symbol: one for one in listings}) is None
    return made


def volumes(**quotes: int) -> dict[str, QuoteVolume]:
    return {symbol: volume(symbol, str(quote)) for symbol, quote in quotes.items()}


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

    change = polled.look(volumes(**{one.symbol: 9_000_000 for one in everyone}), NOW_MS)

    assert change.entered == list(polled.members) == ["BTCUSDT"]


def test_thresholds_are_inclusive_above_and_exclusive_below() -> None:
    """Enters at the enter threshold, leaves under the exit threshold: the operator's own words."""
    polled = universe(listing("A"), listing("B"))

    polled.look(volumes(A=4_000_000, B=3_999_999), NOW_MS)
    assert set(polled.members) == {"A"}
    assert polled.look(volumes(A=2_000_000), NOW_MS).left == []
    assert polled.look(volumes(A=1_999_999), NOW_MS).left == ["A"]
    assert polled.departed == {"A"}


@given(st.lists(st.none() | st.integers(0, 6_000_000), max_size=30))
def test_hysteresis_is_the_obvious_state_machine(history: list[int | None]) -> None:
    """Each symbol: in at 4 M, out under 2 M, unchanged between and while nothing is known."""
    polled = universe(listing("A"), listing("STEADY"))
    expected = False
    for quote in history:
        expected = expected if quote is None else quote >= 4_000_000 or (expected and quote >= 2_000_000)

        polled.look(volumes(STEADY=5_000_000, **({} if quote is None else {"A": quote})), NOW_MS)

        assert ("A" in polled.members) is expected
        assert "STEADY" in polled.members


def test_a_member_keeps_when_it_entered_and_is_seen_at_every_look() -> None:
    polled = universe(listing("A"))
    polled.look(volumes(A=5_000_000), NOW_MS)
    polled.look({}, NOW_MS + 1)

    member = polled.members["A"]
    assert (member.entered_ms, member.last_seen_ms, member.quote_volume) == (NOW_MS, NOW_MS + 1, Decimal(5_000_000))


def test_a_delisted_symbol_leaves_at_the_next_list() -> None:
    polled = universe(listing("A"), listing("B"))
    polled.look(volumes(A=5_000_000, B=5_000_000), NOW_MS)

    polled.believe({"A": listing("A"), "B": listing("B", status="SETTLING")})

    assert polled.look({}, NOW_MS).left == ["B"]


def test_who_left_because_the_exchange_says_so_is_told_apart() -> None:
    """The publisher holds back a universe that shrinks at once, but for these."""
    polled = universe(listing("A"), listing("B"), listing("C"))
    polled.look(volumes(A=9_000_000, B=9_000_000, C=9_000_000), NOW_MS)
    polled.drop("C")
    polled.believe({one.symbol: one for one in (listing("A"), listing("B", status="SETTLING"))})

    assert polled.look(volumes(A=1_000_000), NOW_MS).left == ["A", "B"]
    polled.departed.clear()  # written
    assert polled.look({}, NOW_MS) == ([], [])

    assert polled.delisted == {"B", "C"}
    polled.believe({"C": listing("C"), "A": listing("A")})
    polled.look(volumes(C=9_000_000), NOW_MS)
    assert polled.delisted == {"B"}


def test_a_relisted_ticker_is_a_new_member_with_nothing_of_the_old() -> None:
    """The same four letters can be another coin: its history must not be continued."""
    polled = universe(listing("LITUSDT", onboard_ms=1))
    polled.look(volumes(LITUSDT=5_000_000), NOW_MS)
    polled.believe({"LITUSDT": listing("LITUSDT", onboard_ms=NOW_MS + 10)})

    change = polled.look({"LITUSDT": volume("LITUSDT", "5000000", event_ms=NOW_MS + 20)}, NOW_MS + 30)

    assert (change.left, change.entered) == (["LITUSDT"], ["LITUSDT"])
    assert polled.members["LITUSDT"].entered_ms == NOW_MS + 30
    assert polled.departed == {"LITUSDT"}


def test_a_volume_older_than_the_listing_is_of_the_dead_namesake() -> None:
    """Its 24 h volume row is still in Redis on the day the ticker comes back."""
    polled = universe(listing("LITUSDT", onboard_ms=NOW_MS + 10))

    polled.look({"LITUSDT": volume("LITUSDT", "5000000", event_ms=NOW_MS)}, NOW_MS + 30)

    assert polled.members == {}


def test_a_dropped_symbol_stays_out_until_a_newer_list_has_it() -> None:
    """The exchange's list lags behind its own -4108; re-entering at each look would ask for it for ever."""
    polled = universe(listing("A"), listing("B"))
    polled.look(volumes(A=5_000_000, B=5_000_000), NOW_MS)

    polled.drop("A")
    polled.look(volumes(A=5_000_000, B=5_000_000), NOW_MS)
    assert set(polled.members) == {"B"}

    polled.believe({"A": listing("A"), "B": listing("B")})
    assert polled.look(volumes(A=5_000_000), NOW_MS).entered == ["A"]
    assert polled.departed == set()


def test_an_absurd_list_changes_nothing() -> None:
    """An empty or halved answer of the exchange must not empty the dashboard."""
    polled = universe(*(listing(s) for s in "ABCD"))
    polled.look(volumes(A=5_000_000, B=5_000_000, C=5_000_000, D=5_000_000), NOW_MS)

    assert "none of 0" in (polled.believe({}) or "")
    assert "only 1 of 4" in (polled.believe({"A": listing("A"), "B": listing("B", status="SETTLING")}) or "")
    assert polled.look({}, NOW_MS).left == []

    assert polled.believe({"A": listing("A"), "B": listing("B")}) is None
    assert polled.look({}, NOW_MS).left == ["C", "D"]


def test_members_of_the_run_before_are_polled_before_the_list_is_known() -> None:
    """A restart while exchangeInfo is down goes on with what it knew."""
    before = universe(listing("A"))
    before.look(volumes(A=5_000_000), NOW_MS)
    polled = Universe(RULES)
    polled.members = dict(before.members)

    assert polled.look(volumes(A=1), NOW_MS) == ([], [])
    assert set(polled.members) == {"A"}


def test_other_settings_do_not_make_the_list_look_absurd() -> None:
    """An operator who changes OI_QUOTE_ASSETS has members that are TRADING and no longer wanted."""
    polled = universe(listing("A"), listing("B"))
    polled.look(volumes(A=5_000_000, B=5_000_000), NOW_MS)
    dollars = Universe(Rules(frozenset({"PERPETUAL"}), frozenset({"USDC"}), 4_000_000, 2_000_000))
    dollars.members = dict(polled.members)

    assert dollars.believe({"A": listing("A"), "B": listing("B"), "C": listing("C", quote="USDC")}) is None
    assert dollars.look(volumes(C=5_000_000), NOW_MS).left == ["A", "B"]
    assert set(dollars.members) == {"C"}
