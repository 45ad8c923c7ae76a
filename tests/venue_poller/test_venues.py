"""What each venue sends -> rows of one convention: recorded answers to the figures that are known of them."""

from __future__ import annotations

import contextlib
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.venue_poller.sanity import Judge
from services.venue_poller.venue import Decoded
from services.venue_poller.venues import VENUES
from shared.errors import RateLimited, WireError
from shared.model import VenueOpenInterest
from shared.venuelines import encode_rows, venue_rows
from tests.builders import NOW_MS
from tests.strategies import JSON
from tests.venue_poller.told import PAYLOADS, binance, bitget, bybit, decode, gate, hyperliquid, okx, recorded


def only(decoded: Decoded) -> VenueOpenInterest:
    assert decoded.bad == []
    (row,) = decoded.rows
    return row


def reasons(decoded: Decoded) -> list[str]:
    return [error.reason for error in decoded.bad]


def near(value: Decimal | None, wanted: float) -> bool:
    return value is not None and abs(float(value) / wanted - 1) < 0.005


# -- bybit ----------------------------------------------------------------------------------------------------------


def test_of_bybit_the_single_figure_is_taken() -> None:
    """The other one counts both sides: it would double the sum."""
    part = recorded("bybit_ticker_rows_2026-10")["linear_ws_snapshot_part"]

    row = only(bybit({"symbol": "BTCUSDT", **part}))

    assert (row.base, row.sides, row.mark_price) == (Decimal("28281.039"), "one", Decimal("84457.30"))
    assert row.funding_rate == Decimal("-0.00004104")


def test_a_whole_recorded_row_of_bybit() -> None:
    row = only(bybit(recorded("bybit_ws_ticker_btcusdt_2026-08-13")["data"]))

    assert (row.coin, row.multiplier, row.base, row.unit) == ("BTC", 1, Decimal("29986.128"), "base")
    assert near(row.usd, float(row.told_usd or 0))


def test_an_inverse_contract_is_converted_by_its_definition() -> None:
    """One of them is 1 USD: open interest in USD over the mark, which the value in coin confirms."""
    part = recorded("bybit_ticker_rows_2026-10")["inverse_ws_snapshot_part"]

    row = only(bybit(inverse=({"symbol": "BTCUSD", **part},)))

    assert (row.told, row.unit, row.sides) == (Decimal(234454252), "usd", "one")
    assert near(row.base, 2776.59)
    assert near(row.usd, 234454252)


def test_without_the_single_figure_nobody_knows_whose_sides_they_are() -> None:
    """It is not halved: before June 2026 the same name told one side."""
    row = only(bybit(inverse=tuple(recorded("bybit_tickers_inverse_docs")["result"]["list"])))

    assert row.sides == "unknown"
    assert near(row.base, 22505.67)


@pytest.mark.parametrize(
    "changes",
    [
        {"singleOpenInterest": "56562.078"},  # both sides under the name of one
        {"openInterest": "28281.039"},
    ],
)
def test_figures_of_one_side_and_of_both_that_contradict_each_other(changes: dict[str, str]) -> None:
    part = recorded("bybit_ticker_rows_2026-10")["linear_ws_snapshot_part"]

    assert reasons(bybit({"symbol": "BTCUSDT", **part, **changes})) == ["contradicts"]


def test_what_is_no_perpetual_in_dollars_is_set_aside() -> None:
    part = recorded("bybit_ticker_rows_2026-10")["linear_ws_snapshot_part"]
    names = ("BTCUSDT-26DEC26", "BTCEUR", "BTCPERP", "1000PEPEUSDT")

    decoded = bybit(
        *({"symbol": name, **part} for name in names), {"symbol": "X", **part, "deliveryTime": "1798272000000"}
    )

    assert {row.symbol: (row.coin, row.multiplier) for row in decoded.rows} == {
        "BTCPERP": ("BTC", 1),
        "1000PEPEUSDT": ("PEPE", 1000),
    }
    assert decoded.aside == {"dated": 2, "other": 1}


# -- okx ------------------------------------------------------------------------------------------------------------


def test_of_okx_the_figure_in_coin_is_taken() -> None:
    rows = {row.symbol: row for row in okx(*recorded("okx_open_interest_rows_2026-01-19")).rows}

    assert near(rows["BTC-USDT-SWAP"].base, 26602.4)
    assert near(rows["ETH-USDT-SWAP"].base, 593293.55)
    assert near(rows["SOL-USDT-SWAP"].base, 3140536.76)
    assert rows["BTC-USDT-SWAP"].told == Decimal("2660239.59000001773")  # contracts, not coins
    assert {(row.mark_price, row.mark_of, row.sides) for row in rows.values()} == {(None, "binance", "one")}


def test_every_recorded_row_of_okx_can_be_read() -> None:
    """Inverse swaps and those of ten coins a contract: in coin already. Old ones tell no USD."""
    answers = [row for answer in recorded("okx_open_interest_rest_recorded") for row in answer["data"]]
    decoded = okx(*answers, *recorded("okx_open_interest_ws_rows"))
    bases = {(row.symbol, row.venue_ms): row.base for row in decoded.rows}

    assert decoded.bad == []
    assert len(bases) == len(decoded.rows) == 9
    assert near(bases["NEIRO-USDT-SWAP", 1728709646117], 14546007000)
    assert near(bases["BTC-USD-SWAP", 1735689601474], 9450.48)
    assert near(bases["CETUS-USDT-SWAP", 1701388800898], 40651230)


# -- gate -----------------------------------------------------------------------------------------------------------


def test_of_gate_positions_are_taken_times_the_size_of_a_contract() -> None:
    rows = {row.coin: row for row in gate(*recorded("gate_contracts_2026-09")).rows}

    assert near(rows["BTC"].base, 32874.3)
    assert near(rows["CVC"].base, 5791420)
    assert (rows["BTC"].sides, rows["BTC"].funding_rate) == ("one", Decimal("0.0001"))


def test_a_whole_recorded_answer_of_gate() -> None:
    direct, inverse = recorded("gate_contracts_full_rows_2026-09-25")

    linear, other = gate(direct, inverse=(inverse,)).rows

    assert near(linear.base, 28903.19)
    assert (other.symbol, other.unit, other.told_usd) == ("BTC_USD", "usd", Decimal(7488838))
    assert near(other.base, 7488838 / 83787.19)


def test_ten_million_coins_a_contract() -> None:
    row = recorded("gate_contracts_2026-09")[0]
    pepe = {**row, "name": "PEPE_USDT", "quanto_multiplier": "10000000", "position_size": 100, "mark_price": "0.000004"}
    chinese = {**row, "name": "币安人生_USDT"}

    rows = gate(pepe, chinese).rows

    assert (rows[0].coin, rows[0].base) == ("PEPE", Decimal(1_000_000_000))
    assert rows[1].coin == "币安人生"


@pytest.mark.parametrize("changes", [{"in_delisting": True}, {"status": "delisted"}, {"position_size": 0}])
def test_what_no_longer_trades_is_never_zero(changes: dict[str, Any]) -> None:
    decoded = gate({**recorded("gate_contracts_2026-09")[0], **changes})

    assert (decoded.rows, decoded.bad, decoded.aside.total()) == ([], [], 1)


# -- hyperliquid ----------------------------------------------------------------------------------------------------


def test_contexts_join_names_by_index() -> None:
    contexts = recorded("hyperliquid_ctxs_main_2026-05-30")
    names = recorded("hyperliquid_meta_sample")["universe"]

    rows = {row.symbol: row for row in hyperliquid(names, contexts[:3]).rows}

    assert near(rows["BTC"].base, 27353.18)
    assert near(rows["ETH"].base, 605822.26)
    assert {row.sides for row in rows.values()} == {"unknown"}


def test_of_a_whole_recorded_answer_the_delisted_are_set_aside() -> None:
    contexts = recorded("hyperliquid_ctxs_main_2026-05-30")

    decoded = hyperliquid([{"name": f"C{n}"} for n in range(len(contexts))], contexts)

    assert (len(decoded.rows), decoded.aside, decoded.bad) == (179, {"zero": 51}, [])


def test_arrays_of_different_length_cannot_be_used_at_all() -> None:
    contexts = recorded("hyperliquid_ctxs_main_2026-05-30")

    with pytest.raises(WireError, match="misaligned"):
        hyperliquid(recorded("hyperliquid_meta_sample")["universe"], contexts[:4])


def test_a_small_k_is_a_thousand() -> None:
    context = recorded("hyperliquid_ctxs_main_2026-05-30")[0]

    kpepe, big = hyperliquid([{"name": "kPEPE"}, {"name": "KAITO"}], [context, context]).rows

    assert (kpepe.coin, kpepe.base) == ("PEPE", Decimal("27353176.82"))
    assert kpepe.mark_price == Decimal("77.562")
    assert big.coin == "KAITO"


# -- bitget ---------------------------------------------------------------------------------------------------------


def test_of_bitget_the_holding_is_taken_and_its_sides_are_unknown() -> None:
    row = only(bitget(*recorded("bitget_ws_ticker_birbusdt_2026-07-03")["data"]))

    assert (row.coin, row.base, row.sides, row.mark_price) == ("BIRB", Decimal(23439001), "unknown", Decimal("0.07628"))


def test_bitget_names_it_otherwise_in_its_unified_api() -> None:
    part = recorded("bitget_ws_v3_ticker_part_2026-04-28")

    old = only(bitget(*recorded("bitget_v3_tickers_usdt")["data"]))
    new = only(bitget({"symbol": "BTCUSDT", **part}))

    assert (old.base, old.venue_ms) == (Decimal("27606.0718"), 1765444282230)
    assert new.base == Decimal("29539.3825")


def test_the_documented_answer_of_bitget_holds_no_perpetual_in_dollars() -> None:
    decoded = bitget(*recorded("bitget_v2_tickers_docs")["data"])

    assert (decoded.rows, decoded.bad, decoded.aside) == ([], [], {"other": 1, "dated": 1})


# -- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["NaN", "-1", "1e9", "Infinity", "", "0x10", "１"])
def test_what_is_no_number_costs_only_its_row(text: str) -> None:
    """One dead symbol once turned a public sum into NaN for two months."""
    good = recorded("okx_open_interest_rows_2026-01-19")[1]

    decoded = okx(good, {**good, "instId": "BAD-USDT-SWAP", "oiCcy": text})

    assert [row.symbol for row in decoded.rows] == ["ETH-USDT-SWAP"]
    assert reasons(decoded) == ["unreadable"]


@pytest.mark.parametrize(
    ("venue", "body"),
    [
        ("bybit", {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
        ("bybit", {"retCode": 10018, "retMsg": "Exceeded the IP Rate Limit", "result": {}}),
        ("okx", {"code": "50011", "msg": "Too Many Requests", "data": []}),
        ("bitget", {"code": "429", "msg": "Too Many Requests"}),
    ],
)
def test_too_many_requests_may_be_told_inside(venue: str, body: Any) -> None:
    with pytest.raises(RateLimited):
        decode(venue, *[body] * len(VENUES[venue].requests))


@pytest.mark.parametrize(
    ("venue", "body"),
    [
        ("bybit", {"retCode": 10001, "retMsg": "params error", "result": {}}),
        ("okx", {"code": "51000", "msg": "Parameter error", "data": []}),
        ("bitget", {"code": "40034", "msg": "Parameter does not exist"}),
        ("gate", {"label": "SERVER_ERROR"}),
        ("hyperliquid", {"error": "x"}),
    ],
)
def test_an_error_of_the_venue_is_no_empty_answer(venue: str, body: Any) -> None:
    with pytest.raises(WireError):
        decode(venue, *[body] * len(VENUES[venue].requests))


@pytest.mark.parametrize("venue", VENUES)
@given(body=st.binary(max_size=80) | JSON.map(lambda value: repr(value).encode()))
def test_no_bytes_whatever_raise_more_than_they_may(venue: str, body: bytes) -> None:
    with contextlib.suppress(WireError, RateLimited):
        VENUES[venue].decode([body] * len(VENUES[venue].requests), NOW_MS)


BYBIT = recorded("bybit_ws_ticker_btcusdt_2026-08-13")["data"]
OKX = recorded("okx_open_interest_rows_2026-01-19")[0]
GATE = recorded("gate_contracts_2026-09")[0]
BITGET = recorded("bitget_v3_tickers_usdt")["data"][0]
FIELDS = {
    "bybit": ["symbol", "openInterest", "singleOpenInterest", "singleOpenInterestValue", "markPrice", "fundingRate"],
    "okx": ["instId", "oi", "oiCcy", "oiUsd", "ts"],
    "gate": ["name", "position_size", "quanto_multiplier", "mark_price", "type", "funding_rate", "status"],
    "hyperliquid": ["openInterest", "markPx", "midPx", "funding"],
    "bitget": ["symbol", "holdingAmount", "markPrice", "fundingRate", "ts"],
}
ODD = JSON | st.sampled_from(
    ["0", "1e5", "9" * 24, "9" * 15, "0." + "0" * 23 + "1", "1000", "BTC-USDT-SWAP", "A_USDT", "BTCUSDT"]
)


@pytest.mark.parametrize("venue", FIELDS)
@settings(max_examples=25)
@given(data=st.data())
def test_whatever_a_row_holds_it_costs_only_itself(venue: str, data: st.DataObject) -> None:
    good = {
        "bybit": BYBIT,
        "okx": OKX,
        "gate": GATE,
        "hyperliquid": recorded("hyperliquid_ctxs_main_2026-05-30")[0],
        "bitget": BITGET,
    }[venue]
    odd = {**good, **data.draw(st.dictionaries(st.sampled_from(FIELDS[venue]), ODD, min_size=1))}
    send = {
        "bybit": bybit,
        "okx": okx,
        "gate": gate,
        "hyperliquid": lambda *rows: hyperliquid([{"name": "BTC"}] * len(rows), list(rows)),
        "bitget": bitget,
    }[venue]

    decoded = send(good, odd, 7, good)

    assert len(decoded.rows) in {2, 3}
    assert len(decoded.rows) + len(decoded.bad) + decoded.aside.total() == 4
    assert all(row.base.is_finite() and row.base > 0 for row in decoded.rows)


@pytest.mark.parametrize(
    ("decoded", "left"),
    [
        (bybit({**BYBIT, "openInterest": "", "singleOpenInterest": "0.000000001"}, {**BYBIT, "symbol": "ETHUSDT"}), 1),
        (gate({**GATE, "position_size": 1, "quanto_multiplier": "0.000000001"}, {**GATE, "name": "ETH_USDT"}), 1),
        (okx(OKX, {**OKX, "instId": "BTC-USDC-SWAP", "ts": "9" * 15}), 1),
        (bitget({**BITGET, "symbol": "BTCUSDT", "ts": "9" * 15}, {**BITGET, "symbol": "ETHUSDT"}), 1),
    ],
)
def test_what_is_decoded_can_be_judged_and_read_again(decoded: Decoded, left: int) -> None:
    """A billionth of a coin divided by zero and ended the service; a stamp of 33658 took the other rows along."""
    assert len(decoded.rows) == left
    coins = {f"{row.coin}USDT": (f"{row.mark_price or row.told_usd / row.base:.12f}", "1e9") for row in decoded.rows}

    good = Judge([], {}).judge(decoded.rows, binance(**coins), NOW_MS).good

    assert len(good) == left
    stored = {row.coin.encode(): encode_rows([row]) for row in good}
    assert len(venue_rows(good[0].venue).decoded(stored, pytest.fail)) == left


@pytest.mark.parametrize("venue", VENUES)
def test_no_venue_is_asked_for_more_than_a_tenth_of_its_limit(venue: str) -> None:
    one = VENUES[venue]

    a_second = len(one.requests) * one.limit.cost / one.pace_s

    assert a_second <= 0.1 * one.limit.calls / one.limit.per_s


@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_brings_payloads_and_its_row_in_the_table(venue: str) -> None:
    """docs/venues.md tells how to add one; who forgets a part of it is told here."""
    page = (PAYLOADS.parents[2] / "docs" / "venues.md").read_text()
    one = VENUES[venue]

    assert list(PAYLOADS.glob(f"{venue}_*.json"))
    assert one.name == venue
    row = next(line for line in page.splitlines() if line.startswith(f"| `{venue}` |"))
    for request in one.requests:
        assert request.path in row
    assert f"{one.limit.calls:,}" in row
    assert re.search(rf"\b{one.pace_s:g} s\b", row)
