"""An alert as ``oi:alerts`` carries it and the backend takes it: one body, declared once."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from shared.clock import from_iso
from shared.errors import UNREADABLE, WireError

FIELD = b"alert"  # of an entry of oi:alerts, which holds the body as MessagePack
Text = Annotated[str, Meta(min_length=1)]


class AlertBody(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Changes are signed; what is not known is absent."""

    symbol: Text
    direction: Literal["UP", "DOWN"]
    baseline: float  # contracts
    current: float  # contracts
    pct_change: float  # fraction of the baseline
    abs_change: float  # contracts
    timeframe: Text
    timestamp: str  # ISO 8601 with a zone: when the current open interest was received
    source: Text
    price_change: float | None = None  # fraction, over the same time
    funding_rate: float | None = None  # fraction per interval

    def __post_init__(self) -> None:
        numbers = (self.baseline, self.current, self.pct_change, self.abs_change, self.price_change, self.funding_rate)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ValueError("a number that is not finite")
        from_iso(self.timestamp)


_decoder = msgspec.msgpack.Decoder(AlertBody)
encode_alert = msgspec.msgpack.Encoder().encode


def decode_alert(blob: bytes | None) -> AlertBody:
    """None: the entry was trimmed. Fields that the backend does not know are left out."""
    if blob is None:
        raise WireError("stored_alert", "it was trimmed, or has no field alert")
    try:
        return _decoder.decode(blob)
    except UNREADABLE as e:
        raise WireError("stored_alert", f"{e}"[:160]) from e
