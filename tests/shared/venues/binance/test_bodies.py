"""Bodies of the exchange, whole and broken."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import WireError
from shared.venues.binance import bodies
from tests.builders import NOW_MS
from tests.oi_poller.venue import row
from tests.strategies import JSON

LIMITS = [
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
]


def info(*rows: object, limits: object = LIMITS) -> bytes:
    return json.dumps({"timezone": "UTC", "futuresType": "U_MARGINED", "rateLimits": limits, "symbols": rows}).encode()


def test_exchange_info_gives_contracts_and_the_weight_limit() -> None:
    """Unknown keys come with every release; the orders' limit is not ours."""
    body = info(row("BTCUSDT", newKey={"a": 1}), row("币安人生USDT", status="SETTLING", contractType=""))

    read = bodies.exchange_info(body, pytest.fail)

    assert list(read.listings) == ["BTCUSDT", "币安人生USDT"]
    assert read.listings["BTCUSDT"] == bodies.Listing("BTCUSDT", "PERPETUAL", "USDT", "TRADING", 1_600_000_000_000)
    assert read.weight_limit == 2400


@pytest.mark.parametrize(
    "bad",
    [
        {"symbol": "ETHUSDT"},
        row(""),
        row("A B"),
        row("A\nB"),
        row("X" * 65),
        row("A", onboardDate="1"),
        row("A", onboardDate=10**13),
        7,
        None,
    ],
)
def test_a_malformed_contract_costs_only_itself(bad: object) -> None:
    """One row the exchange got wrong must not freeze the universe of 700 others."""
    seen: list[WireError] = []

    read = bodies.exchange_info(info(row("BTCUSDT"), bad), seen.append)

    assert list(read.listings) == ["BTCUSDT"]
    assert [e.reason for e in seen] == ["bad_listing"]


@pytest.mark.parametrize(
    "limits", [[], [7], [{"limit": 5}], [LIMITS[1] | {"limit": 0}], [LIMITS[1] | {"limit": 10**30}], [LIMITS[0]]]
)
def test_a_weight_limit_that_is_not_told_is_not_made_up(limits: object) -> None:
    assert bodies.exchange_info(info(row("BTCUSDT"), limits=limits), pytest.fail).weight_limit is None


def test_open_interest_keeps_the_decimal_text_and_both_instants() -> None:
    body = b'{"symbol":"BTCUSDT","openInterest":"95744.9380","time":1791382984119,"new":[]}'

    oi = bodies.open_interest(body, "BTCUSDT", NOW_MS)

    assert (str(oi.open_interest), oi.changed_ms, oi.received_ms) == ("95744.9380", 1791382984119, NOW_MS)


def test_zero_open_interest_is_a_reading() -> None:
    """A contract that just began may have none; leaving it out is the publisher's choice."""
    body = b'{"symbol":"NEWUSDT","openInterest":"0.000","time":1}'

    assert bodies.open_interest(body, "NEWUSDT", NOW_MS).open_interest == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"symbol":"ETHUSDT","openInterest":"1","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"-1","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"NaN","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"Infinity","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"1e9","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"","time":1}',
        b'{"symbol":"BTCUSDT","openInterest":null,"time":1}',
        b'{"symbol":"BTCUSDT","openInterest":1.5,"time":1}',
        b'{"symbol":"BTCUSDT","openInterest":"1","time":-1}',
        b'{"symbol":"BTCUSDT","openInterest":"1","time":1791382984119000}',
        b'{"symbol":"BTCUSDT","openInterest":"1","time":99999999999999999999}',
        b'{"symbol":"BTCUSDT","openInterest":"1"}',
        b'{"symbol":"BTCUSDT","openInterest":"1","time":1',
        b'[{"symbol":"BTCUSDT","openInterest":"1","time":1}]',
        b"<html>",
        b"",
    ],
)
def test_open_interest_that_cannot_be_trusted_is_an_error(body: bytes) -> None:
    """A wrong number on the dashboard is worse than a missing one; another symbol's is a wrong number."""
    with pytest.raises(WireError, match="bad_open_interest"):
        bodies.open_interest(body, "BTCUSDT", NOW_MS)


def test_a_time_in_another_unit_is_named() -> None:
    """Binance has gone over to microseconds elsewhere; "Expected int" would not tell the operator that."""
    body = b'{"symbol":"BTCUSDT","openInterest":"1","time":1791382984119000}'

    with pytest.raises(WireError, match="BTCUSDT: 1791382984119000 looks like microseconds"):
        bodies.open_interest(body, "BTCUSDT", NOW_MS)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_break_the_parsers(body: bytes) -> None:
    """Whatever a proxy answers ends in a fact or in the one error the callers expect."""
    for parse in (lambda: bodies.exchange_info(body, lambda _: None), lambda: bodies.open_interest(body, "BTCUSDT", 0)):
        try:
            parse()
        except WireError:
            continue


@given(
    st.fixed_dictionaries({"symbol": JSON | st.just("BTCUSDT"), "openInterest": JSON, "time": JSON | st.integers(0, 9)})
)
def test_open_interest_is_a_finite_non_negative_number_of_that_symbol_or_nothing(fields: dict[str, object]) -> None:
    try:
        oi = bodies.open_interest(json.dumps(fields).encode(), "BTCUSDT", 0)
    except WireError:
        return
    assert fields["symbol"] == "BTCUSDT"
    assert oi.open_interest.is_finite()
    assert oi.open_interest >= 0


@given(st.decimals(0, 10**12, places=3, allow_nan=False))
def test_every_plain_quantity_survives(quantity: Decimal) -> None:
    body = json.dumps({"symbol": "BTCUSDT", "openInterest": f"{quantity:f}", "time": 5}).encode()

    assert bodies.open_interest(body, "BTCUSDT", 0).open_interest == quantity


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(row(""), JSON)) | JSON, max_size=6))
def test_good_contracts_survive_any_neighbours(neighbours: list[object]) -> None:
    body = info(*neighbours, row("BTCUSDT"))
    bad: list[WireError] = []

    read = bodies.exchange_info(body, bad.append)

    assert "BTCUSDT" in read.listings
    assert len(bad) + len(read.listings) <= len(neighbours) + 1
