"""What may pass as an alert, and when two are one."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.alerts import decode_alert, is_same
from shared.errors import WireError
from tests.backend.stand_in import alert


def fields(**changes: Any) -> dict[bytes, bytes]:
    return {b"alert": msgpack.packb({k: v for k, v in alert(**changes).items() if v is not ...})}


def test_an_alert_passes_with_the_fields_of_the_contract() -> None:
    assert decode_alert(fields(fundingRate=0.0001, priceChange=None, extra="x")) == alert(fundingRate=0.0001)


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": ""},
        {"symbol": 5},
        {"direction": "SIDEWAYS"},
        {"baseline": float("nan")},
        {"current": "103400"},
        {"pctChange": True},
        {"absChange": ...},
        {"timestamp": "yesterday"},
        {"timestamp": "2025-12-03T05:10:00"},
        {"fundingRate": float("inf")},
    ],
)
def test_an_alert_that_cannot_be_trusted_is_one_error(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode_alert(fields(**changes))


@given(st.none() | st.binary() | st.recursive(st.none() | st.text() | st.integers(0, 9), st.lists).map(msgpack.packb))
def test_any_blob_becomes_an_alert_or_one_error(blob: bytes | None) -> None:
    with pytest.raises(WireError):
        decode_alert(None if blob is None else {b"alert": blob})


def test_one_alert_is_recognised_however_the_backend_spells_it() -> None:
    sent = alert(timestamp="2025-12-03T05:10:00.000Z")

    assert is_same(sent, {**sent, "symbol": "BTCUSDT", "timestamp": "2025-12-03T05:10:00Z", "id": "x"})
    assert is_same({**sent, "symbol": "BTC-USDT"}, sent)
    for name, value in (("symbol", "ETHUSDT"), ("direction", "DOWN"), ("timeframe", "1 hour"), ("timestamp", None)):
        assert not is_same(sent, {**sent, name: value})
    assert not is_same(sent, {})
