"""What may pass as an alert: what the alerter writes, and nothing that the backend could not use."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.alert import AlertBody, decode_alert, encode_alert
from shared.errors import WireError
from tests.backend.stand_in import alert


def packed(**changes: Any) -> bytes:
    blob: bytes = msgpack.packb({k: v for k, v in alert(**changes).items() if v is not ...})
    return blob


def test_an_alert_passes_with_the_fields_of_the_contract() -> None:
    body = decode_alert(packed(fundingRate=0.0001, priceChange=None, extra="x"))

    assert msgspec.to_builtins(body) == alert(fundingRate=0.0001)


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
        decode_alert(packed(**changes))


@given(st.none() | st.binary() | st.recursive(st.none() | st.text() | st.integers(0, 9), st.lists).map(msgpack.packb))
def test_any_blob_becomes_an_alert_or_one_error(blob: bytes | None) -> None:
    with pytest.raises(WireError):
        decode_alert(blob)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.tuples(*[NUMBERS] * 4), st.none() | NUMBERS, st.none() | NUMBERS)
def test_what_is_written_is_read(numbers: tuple[float, ...], price: float | None, rate: float | None) -> None:
    body = AlertBody("BTCUSDT", "DOWN", *numbers, "1 hour", "2025-12-03T05:10:00.000Z", "x", price, rate)

    assert decode_alert(encode_alert(body)) == body
