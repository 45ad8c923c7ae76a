"""Which contract is of which coin: by name, and then proved by price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.venue_poller.matching import Doubt, proved
from tests.builders import NOW_MS, mark
from tests.venue_poller.told import binance, gate, hyperliquid, recorded, told


def test_binance_s_own_is_found_under_whichever_multiplier_it_lists() -> None:
    own = binance().of("PEPE")

    assert own is not None
    assert (own.mark_price, own.base) == (Decimal("0.000004"), Decimal("9e12"))
    assert [(row.symbol, row.multiplier) for row in own.rows] == [("1000PEPEUSDT", 1000)]


def test_contracts_of_both_dollars_are_added_up() -> None:
    own = binance(BTCUSDT=("93000", "90000"), BTCUSDC=("93010", "5000")).of("BTC")

    assert own is not None
    assert (own.base, own.mark_price) == (95000, 93000)


def test_two_assets_of_one_name_are_not_added_up() -> None:
    """Binance lists BOBUSDT at two cents and 1000000BOBUSDT at four: its coin is worth a millionth of the other."""
    listed = {"1000000BOBUSDT": ("0.04", "5000000"), "BOBUSDT": ("0.02", "1000000000"), "BOBUSDC": ("0.02", "1")}
    known = binance(**listed)
    own = known.of("BOB")

    assert own is not None
    assert [row.symbol for row in own.rows] == ["BOBUSDT", "BOBUSDC"]
    with pytest.raises(Doubt, match="by its mark a BOB is"):
        proved(told("1000000BOBUSDT", coin="BOB", price="0.00000004"), own)


def test_while_the_first_of_two_assets_has_no_fresh_mark_nothing_is_proved_by_the_other() -> None:
    known = binance(BOBUSDT=("0.02", "1000000000"), **{"1000000BOBUSDT": ("0.04", "5000000")})
    known._marks = {**known._marks, "BOBUSDT": mark("BOBUSDT", "0.02", received_ms=NOW_MS - 16_000)}

    assert known.of("BOB") is None


@pytest.mark.parametrize("now_ms", [NOW_MS - 16_000, NOW_MS + 16_000])
def test_an_old_mark_proves_nothing(now_ms: int) -> None:
    known = binance()
    known._now_ms = now_ms

    assert known.of("BTC") is None
    assert not known.fresh


def test_one_coin_in_three_spellings() -> None:
    """``1000PEPEUSDT``, ``kPEPE``, and Gate's contract of ten million."""
    own = binance().of("PEPE")
    assert own is not None
    row = recorded("gate_contracts_2026-09")[0]
    pepe = {**row, "name": "PEPE_USDT", "quanto_multiplier": "10000000", "mark_price": "0.00000401"}
    context = {**recorded("hyperliquid_ctxs_main_2026-05-30")[0], "markPx": "0.00399"}

    of_gate, of_hyperliquid = gate(pepe).rows[0], hyperliquid([{"name": "kPEPE"}], [context]).rows[0]

    assert proved(of_gate, own).base == Decimal(328743040) * 10_000_000
    assert proved(of_hyperliquid, own).mark_price == Decimal("0.00000399")


@pytest.mark.parametrize("price", ["97600", "88400"])
def test_a_price_a_little_off_is_the_same_coin(price: str) -> None:
    own = binance().of("BTC")
    assert own is not None

    assert proved(told(price=price), own).mark_price == Decimal(price)


@pytest.mark.parametrize("price", ["97700", "88300"])
def test_a_price_more_than_a_twentieth_off_is_another_coin(price: str) -> None:
    own = binance().of("BTC")
    assert own is not None

    with pytest.raises(Doubt, match=price) as doubt:
        proved(told(price=price), own)

    assert doubt.value.why == "price_off"


@pytest.mark.parametrize("worth", ["2604000000", "93000", "242172000000000"])
def test_the_worth_a_venue_tells_proves_it_too(worth: str) -> None:
    """A figure in another unit than the name says: contracts for coins, or dollars for coins."""
    own = binance().of("BTC")
    assert own is not None
    right = told(told_usd=Decimal(worth))

    if worth == "2604000000":  # 28,000 coins of 93,000
        assert proved(right, own) == right
    else:
        with pytest.raises(Doubt, match="worth"):
            proved(right, own)


def test_where_a_venue_tells_no_mark_it_is_binance_s_and_says_so() -> None:
    own = binance().of("BTC")
    assert own is not None

    row = proved(told(price=None, told_usd=Decimal(2_610_000_000)), own)

    assert (row.mark_price, row.mark_of, row.usd) == (Decimal(93000), "binance", Decimal(28000 * 93000))


def test_without_any_price_nothing_is_proved() -> None:
    own = binance().of("BTC")
    assert own is not None

    with pytest.raises(Doubt) as doubt:
        proved(told(price=None), own)

    assert doubt.value.why == "no_price"
