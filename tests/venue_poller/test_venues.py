"""What each venue sends -> rows of one convention: recorded answers to the figures that are known of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.venues.answers import LIMITS
from services.venue_poller.sanity import Judge
from services.venue_poller.venue import Decoded
from services.venue_poller.venues import VENUES
from shared.errors import RateLimited, WireError
from shared.venuelines import encode_rows, venue_rows
from tests.builders import NOW_MS
from tests.strategies import JSON
from tests.venue_poller.told import PAYLOADS, binance, bitget, bybit, decode, gate, hyperliquid, okx, recorded


def reasons(decoded: Decoded) -> list[str]:
    return [error.reason for error in decoded.bad]


LINEAR, INVERSE = (recorded("bybit_ticker_rows_2026-10")[f"{kind}_ws_snapshot_part"] for kind in ("linear", "inverse"))
BYBIT = recorded("bybit_ws_ticker_btcusdt_2026-08-13")["data"]
OKX = recorded("okx_open_interest_rows_2026-01-19")
GATE = recorded("gate_contracts_2026-09")[0]
BITGET = recorded("bitget_v3_tickers_usdt")["data"][0]
CONTEXTS = recorded("hyperliquid_ctxs_main_2026-05-30")
MAIN = hyperliquid(recorded("hyperliquid_meta_sample")["universe"], CONTEXTS[:3])
SPELLED = hyperliquid([{"name": "kPEPE"}, {"name": "KAITO"}], CONTEXTS[:1] * 2)
MILLIONS = {"quanto_multiplier": "10000000", "position_size": 100, "mark_price": "0.000004"}
# What is known of recorded rows; a float is right within half a hundredth.
KNOWN: list[tuple[Decoded, str, dict[str, Any]]] = [
    (  # the figure of one side: the other one would double the sum
        bybit({"symbol": "BTCUSDT", **LINEAR}),
        "BTCUSDT",
        {
            "base": Decimal("28281.039"),
            "sides": "one",
            "mark_price": Decimal("84457.30"),
            "funding_rate": Decimal("-0.00004104"),
        },
    ),
    (
        bybit(BYBIT),
        "BTCUSDT",
        {"coin": "BTC", "multiplier": 1, "base": Decimal("29986.128"), "unit": "base", "usd": 1905942284.58},
    ),
    (  # one contract is one USD: open interest in USD over the mark
        bybit(inverse=({"symbol": "BTCUSD", **INVERSE},)),
        "BTCUSD",
        {"told": Decimal(234454252), "unit": "usd", "sides": "one", "base": 2776.59, "usd": 234454252.0},
    ),
    (  # without the figure of one side it is not halved: before June 2026 the same name told one side
        bybit(inverse=tuple(recorded("bybit_tickers_inverse_docs")["result"]["list"])),
        "BTCUSD",
        {"sides": "unknown", "base": 22505.67},
    ),
    (  # coins, not contracts
        okx(*OKX),
        "BTC-USDT-SWAP",
        {
            "base": 26602.4,
            "told": Decimal("2660239.59000001773"),
            "mark_price": None,
            "mark_of": "binance",
            "sides": "one",
        },
    ),
    (okx(*OKX), "ETH-USDT-SWAP", {"base": 593293.55}),
    (okx(*OKX), "SOL-USDT-SWAP", {"base": 3140536.76}),
    (okx(*recorded("okx_open_interest_rest_recorded")[0]["data"]), "NEIRO-USDT-SWAP", {"base": 14546007000.0}),
    (okx(*recorded("okx_open_interest_ws_rows")), "BTC-USD-SWAP", {"base": 9450.48}),
    (okx(*recorded("okx_open_interest_ws_rows")), "CETUS-USDT-SWAP", {"base": 40651230.0}),
    (
        gate(*recorded("gate_contracts_2026-09")),
        "BTC_USDT",
        {"base": 32874.3, "sides": "one", "funding_rate": Decimal("0.0001")},
    ),
    (gate(*recorded("gate_contracts_2026-09")), "CVC_USDT", {"base": 5791420.0}),
    (gate(*recorded("gate_contracts_full_rows_2026-09-25")), "BTC_USDT", {"base": 28903.19}),
    (
        gate(inverse=tuple(recorded("gate_contracts_full_rows_2026-09-25"))),
        "BTC_USD",
        {"unit": "usd", "told_usd": Decimal(7488838), "base": 7488838 / 83787.19},
    ),
    (gate({**GATE, **MILLIONS, "name": "PEPE_USDT"}), "PEPE_USDT", {"coin": "PEPE", "base": Decimal(1_000_000_000)}),
    (gate({**GATE, "name": "币安人生_USDT"}), "币安人生_USDT", {"coin": "币安人生"}),
    (MAIN, "BTC", {"base": 27353.18, "sides": "unknown"}),
    (MAIN, "ETH", {"base": 605822.26, "sides": "unknown"}),
    (SPELLED, "kPEPE", {"coin": "PEPE", "base": Decimal("27353176.82"), "mark_price": Decimal("77.562")}),
    (SPELLED, "KAITO", {"coin": "KAITO"}),
    (
        bitget(*recorded("bitget_ws_ticker_birbusdt_2026-07-03")["data"]),
        "BIRBUSDT",
        {"coin": "BIRB", "base": Decimal(23439001), "sides": "unknown", "mark_price": Decimal("0.07628")},
    ),
    (bitget(BITGET), "BTCUSDT", {"base": Decimal("27606.0718"), "venue_ms": 1765444282230}),  # another name for it
    (
        bitget({"symbol": "BTCUSDT", **recorded("bitget_ws_v3_ticker_part_2026-04-28")}),
        "BTCUSDT",
        {"base": Decimal("29539.3825")},
    ),
]


@pytest.mark.parametrize(("decoded", "symbol", "known"), KNOWN, ids=[f"{d.rows[0].venue} {s}" for d, s, _ in KNOWN])
def test_a_recorded_row_is_what_is_known_of_it(decoded: Decoded, symbol: str, known: dict[str, Any]) -> None:
    row = next(row for row in decoded.rows if row.symbol == symbol)

    assert decoded.bad == []
    for name, wanted in known.items():
        told = getattr(row, name)
        assert (float(told) == pytest.approx(wanted, rel=0.005)) if isinstance(wanted, float) else told == wanted, name


def test_every_recorded_row_of_okx_can_be_read() -> None:
    """Inverse swaps and those of ten coins a contract: in coin already. Old ones tell no USD."""
    answers = [row for answer in recorded("okx_open_interest_rest_recorded") for row in answer["data"]]

    decoded = okx(*answers, *recorded("okx_open_interest_ws_rows"))

    assert (len(decoded.rows), decoded.bad) == (9, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"singleOpenInterest": "56562.078"},  # both sides under the name of one
        {"openInterest": "28281.039"},
    ],
)
def test_figures_of_one_side_and_of_both_that_contradict_each_other(changes: dict[str, str]) -> None:
    assert reasons(bybit({"symbol": "BTCUSDT", **LINEAR, **changes})) == ["contradicts"]


def test_an_inverse_contract_whose_value_in_coin_says_otherwise() -> None:
    assert reasons(bybit(inverse=({"symbol": "BTCUSD", **INVERSE, "singleOpenInterestValue": "2700"},))) == [
        "contradicts"
    ]


def test_what_is_no_perpetual_in_dollars_is_set_aside() -> None:
    names = ("BTCUSDT-26DEC26", "BTCEUR", "BTCPERP", "1000PEPEUSDT")

    decoded = bybit(
        *({"symbol": name, **LINEAR} for name in names), {"symbol": "X", **LINEAR, "deliveryTime": "1798272000000"}
    )

    assert {row.symbol: (row.coin, row.multiplier) for row in decoded.rows} == {
        "BTCPERP": ("BTC", 1),
        "1000PEPEUSDT": ("PEPE", 1000),
    }
    assert decoded.aside == {"dated": 2, "other": 1}
    documented = bitget(*recorded("bitget_v2_tickers_docs")["data"])
    assert (documented.rows, documented.bad, documented.aside) == ([], [], {"other": 1, "dated": 1})


@pytest.mark.parametrize("changes", [{"in_delisting": True}, {"status": "delisted"}, {"position_size": 0}])
def test_what_no_longer_trades_is_never_zero(changes: dict[str, Any]) -> None:
    decoded = gate({**GATE, **changes})

    assert (decoded.rows, decoded.bad, decoded.aside.total()) == ([], [], 1)


def test_of_a_whole_recorded_answer_the_delisted_are_set_aside() -> None:
    decoded = hyperliquid([{"name": f"C{n}"} for n in range(len(CONTEXTS))], CONTEXTS)

    assert (len(decoded.rows), decoded.aside, decoded.bad) == (179, {"zero": 51}, [])


def test_arrays_of_different_length_cannot_be_used_at_all() -> None:
    with pytest.raises(WireError, match="misaligned"):
        hyperliquid(recorded("hyperliquid_meta_sample")["universe"], CONTEXTS[:4])


@pytest.mark.parametrize("text", ["NaN", "-1", "1e9", "Infinity", "", "0x10", "１"])
def test_what_is_no_number_costs_only_its_row(text: str) -> None:
    """One dead symbol once turned a public sum into NaN for two months."""
    good = OKX[1]

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


# A good row of each, a way to send rows, and the fields that are spoilt.
SENT: dict[str, tuple[dict[str, Any], Callable[..., Decoded], str]] = {
    "bybit": (BYBIT, bybit, "symbol openInterest singleOpenInterest singleOpenInterestValue markPrice fundingRate"),
    "okx": (OKX[0], okx, "instId oi oiCcy oiUsd ts"),
    "gate": (GATE, gate, "name position_size quanto_multiplier mark_price type funding_rate status"),
    "hyperliquid": (
        CONTEXTS[0],
        lambda *rows: hyperliquid([{"name": "BTC"}] * len(rows), list(rows)),
        "openInterest markPx midPx funding",
    ),
    "bitget": (BITGET, bitget, "symbol holdingAmount markPrice fundingRate ts"),
}
ODD = JSON | st.sampled_from(
    ["0", "1e5", "9" * 24, "9" * 15, "0." + "0" * 23 + "1", "1000", "BTC-USDT-SWAP", "A_USDT", "BTCUSDT"]
)


@pytest.mark.parametrize("venue", SENT)
@settings(max_examples=25)
@given(data=st.data())
def test_whatever_a_row_holds_it_costs_only_itself(venue: str, data: st.DataObject) -> None:
    good, send, fields = SENT[venue]
    odd = {**good, **data.draw(st.dictionaries(st.sampled_from(fields.split()), ODD, min_size=1))}

    decoded = send(good, odd, 7, good)

    assert len(decoded.rows) in {2, 3}
    assert len(decoded.rows) + len(decoded.bad) + decoded.aside.total() == 4
    assert all(row.base.is_finite() and row.base > 0 for row in decoded.rows)


@pytest.mark.parametrize(
    ("decoded", "left"),
    [
        (bybit({**BYBIT, "openInterest": "", "singleOpenInterest": "0.000000001"}, {**BYBIT, "symbol": "ETHUSDT"}), 1),
        (gate({**GATE, "position_size": 1, "quanto_multiplier": "0.000000001"}, {**GATE, "name": "ETH_USDT"}), 1),
        (okx(OKX[0], {**OKX[0], "instId": "BTC-USDC-SWAP", "ts": "9" * 15}), 1),
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
    one, limit = VENUES[venue], LIMITS[venue]

    assert len(one.requests) * limit.cost / one.pace_s <= 0.1 * limit.most / limit.per_s


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
    assert f"{LIMITS[venue].most:,}" in row
    assert re.search(rf"\b{one.pace_s:g} s\b", row)
