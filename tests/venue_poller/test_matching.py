"""Which contract is of which coin: by name, and then proved by price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.venue_poller.matching import Binance, Doubt, Own, proved
from tests.builders import NOW_MS, mark
from tests.venue_poller.told import binance, gate, hyperliquid, recorded, told

BOB = {"1000000BOBUSDT": ("0.04", "5000000"), "BOBUSDT": ("0.02", "1000000000"), "BOBUSDC": ("0.02", "1")}


def own(coin: str, known: Binance | None = None) -> Own:
    found = (known or binance()).of(coin)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("coin", "listed", "symbols", "mark_price", "base"),
    [
        ("PEPE", {}, ["1000PEPEUSDT"], "0.000004", "9e12"),
        (
            "BTC",
            {"BTCUSDT": ("93000", "90000"), "BTCUSDC": ("93010", "5000")},
            ["BTCUSDT", "BTCUSDC"],
            "93000",
            "95000",
        ),
        # Two assets of one name: of BOB's at four cents a coin is worth a millionth of the other.
        ("BOB", BOB, ["BOBUSDT", "BOBUSDC"], "0.02", "1000000001"),
    ],
)
def test_what_binance_itself_has_of_a_coin(
    coin: str, listed: dict[str, tuple[str, str]], symbols: list[str], mark_price: str, base: str
) -> None:
    """Under whichever multiplier it lists it, in both dollars, and of one asset only."""
    found = own(coin, binance(**listed))

    assert [row.symbol for row in found.rows] == symbols
    assert (found.mark_price, found.base) == (Decimal(mark_price), Decimal(base))


def test_another_asset_of_the_name_is_refused_by_its_price() -> None:
    with pytest.raises(Doubt, match="by its mark a BOB is"):
        proved(told("1000000BOBUSDT", coin="BOB", price="0.00000004"), own("BOB", binance(**BOB)))


def test_while_the_first_of_two_assets_has_no_fresh_mark_nothing_is_proved_by_the_other() -> None:
    known = binance(**BOB)
    known._marks = {**known._marks, **{s: mark(s, "0.02", received_ms=NOW_MS - 16_000) for s in ("BOBUSDT", "BOBUSDC")}}

    assert known.of("BOB") is None


@pytest.mark.parametrize("now_ms", [NOW_MS - 16_000, NOW_MS + 16_000])
def test_an_old_mark_proves_nothing(now_ms: int) -> None:
    known = binance()
    known._now_ms = now_ms

    assert known.of("BTC") is None
    assert not known.fresh


def test_one_coin_in_three_spellings() -> None:
    """``1000PEPEUSDT``, ``kPEPE``, and Gate's contract of ten million."""
    row = recorded("gate_contracts_2026-09")[0]
    pepe = {**row, "name": "PEPE_USDT", "quanto_multiplier": "10000000", "mark_price": "0.00000401"}
    context = {**recorded("hyperliquid_ctxs_main_2026-05-30")[0], "markPx": "0.00399"}

    of_gate, of_hyperliquid = gate(pepe).rows[0], hyperliquid([{"name": "kPEPE"}], [context]).rows[0]

    assert proved(of_gate, own("PEPE")).base == Decimal(328743040) * 10_000_000
    assert proved(of_hyperliquid, own("PEPE")).mark_price == Decimal("0.00000399")


@pytest.mark.parametrize(
    ("price", "changes", "said"),
    [
        ("97600", {}, ""),
        ("88400", {}, ""),
        ("97700", {}, "by its mark a BTC is 97700"),  # more than a twentieth off: another coin
        ("88300", {}, "by its mark a BTC is 88300"),
        ("93000", {"told_usd": Decimal(2604000000)}, ""),  # 28,000 coins of 93,000
        ("93000", {"told_usd": Decimal(93000)}, "told worth"),  # contracts for coins, or dollars for coins
        ("93000", {"told_usd": Decimal(242172000000000)}, "told worth"),
    ],
)
def test_by_its_price_a_contract_is_of_the_coin_or_not(price: str, changes: dict[str, Any], said: str) -> None:
    row = told(price=price, **changes)
    if not said:
        assert proved(row, own("BTC")) == row
        return
    with pytest.raises(Doubt, match=said) as doubt:
        proved(row, own("BTC"))
    assert doubt.value.why == "price_off"


def test_where_a_venue_tells_no_mark_it_is_binance_s_and_says_so() -> None:
    row = proved(told(price=None, told_usd=Decimal(2_610_000_000)), own("BTC"))

    assert (row.mark_price, row.mark_of, row.usd) == (Decimal(93000), "binance", Decimal(28000 * 93000))


def test_without_any_price_nothing_is_proved() -> None:
    with pytest.raises(Doubt) as doubt:
        proved(told(price=None), own("BTC"))

    assert doubt.value.why == "no_price"
