"""Bytes of the exchange and of Redis, whole and broken."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.oi_alerter import wire
from services.oi_alerter.detector import Alert, Key, Latch
from services.oi_alerter.history import Sample
from shared.alert import encode_alert
from shared.errors import WireError
from shared.numbers import LATEST_MS
from tests.builders import NOW_MS
from tests.strategies import JSON

FIELDS = st.fixed_dictionaries(
    {"symbol": st.just("ETHUSDT") | JSON, "sumOpenInterest": st.just("12.5") | JSON, "timestamp": st.just(1) | JSON}
)


def row(contracts: Any = "82345.12300000", at_ms: Any = NOW_MS, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "sumOpenInterest": contracts,
        "sumOpenInterestValue": "7661501742.10000000",
        "CMCCirculatingSupply": "19790000.00000000",
        "timestamp": at_ms,
    }


def body(*rows: object) -> bytes:
    return json.dumps(rows).encode()


@pytest.mark.parametrize(
    ("rows", "samples"),
    [
        ((row(), row("82000", str(NOW_MS + 300_000))), [(NOW_MS, 82345.123), (NOW_MS + 300_000, 82000.0)]),
        ((row("0.00000000"), row("5")), [(NOW_MS, 5.0)]),  # zero is no baseline
        ((), []),
    ],
)
def test_history_is_contracts_at_instants_without_a_price(
    rows: tuple[Any, ...], samples: list[tuple[int, float]]
) -> None:
    told = wire.past_samples(body(*rows), "BTCUSDT")
    assert told == [Sample(at_ms, contracts, None) for at_ms, contracts in samples]


@pytest.mark.parametrize(
    "bad",
    [row("NaN"), row("-5"), row("1e5"), row(None), row(5.0), row(at_ms=-1), row(at_ms=1 << 60), row(symbol="X"), {}, 7],
)
def test_a_history_with_one_bad_row_is_not_believed(bad: object) -> None:
    with pytest.raises(WireError) as caught:
        wire.past_samples(body(row(), bad), "BTCUSDT")
    assert caught.value.reason == "bad_history"


@given(
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.lists(FIELDS).map(lambda rows: body(*rows))
)
def test_any_body_is_samples_or_a_wire_error(blob: bytes) -> None:
    try:
        samples = wire.past_samples(blob, "ETHUSDT")
    except WireError:
        return
    assert all(s.open_interest > 0 and s.at_ms >= 0 and s.mark_price is None for s in samples)


@pytest.mark.parametrize("blob", [b"[" * 100_000, b'{"a":' * 100_000])
def test_nesting_without_end_is_a_bad_body(blob: bytes) -> None:
    with pytest.raises(WireError):
        wire.past_samples(blob, "BTCUSDT")
    with pytest.raises(WireError):
        wire.decode_latch(b"BTCUSDT UP 5 min", blob)


symbols = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc"]), min_size=1, max_size=20)
instants = st.integers(0, LATEST_MS - 1)


@given(symbols, st.sampled_from(["UP", "DOWN"]), st.sampled_from(["5 min", "15 min", "1 hour"]), instants, instants)
def test_a_latch_comes_back_as_written(symbol: str, direction: str, timeframe: str, fired: int, outside: int) -> None:
    """Chinese symbols included; else a restart would repeat their alerts."""
    key, latch = Key(symbol, direction, timeframe), Latch(fired, outside)
    name, blob = wire.encode_latch(key, latch)
    assert wire.decode_latch(name.encode(), blob) == (key, latch)


@given(st.binary(max_size=60), st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_row_is_a_latch_or_a_wire_error(name: bytes, blob: bytes) -> None:
    try:
        key, latch = wire.decode_latch(name, blob)
    except WireError:
        return
    assert " ".join(key).encode() == name
    assert type(latch.fired_ms) is type(latch.outside_ms) is int


floats = st.floats(0.001, 1e15, allow_nan=False)


@given(floats, floats, floats | st.none(), floats | st.none(), st.decimals(-1, 1, places=8) | st.none())
def test_an_alert_is_numbers_the_backend_takes(
    before: float, now: float, price_before: float | None, price_now: float | None, rate: Decimal | None
) -> None:
    alert = Alert(Key("币安人生USDT", "UP", "1 hour"), Sample(1, before, price_before), Sample(NOW_MS, now, price_now))
    document = msgpack.unpackb(encode_alert(wire.alert_body(alert, rate)))

    assert document["pctChange"] == pytest.approx(now / before - 1, rel=1e-6, abs=1e-9)
    assert document["absChange"] == now - before
    assert document["timestamp"] == "2025-12-03T00:00:00.000Z"
    assert ("priceChange" in document) == (price_before is not None and price_now is not None)
    assert ("fundingRate" in document) == (rate is not None)
    assert None not in document.values()
