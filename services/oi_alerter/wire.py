"""Bytes -> facts, or one `WireError`, and back; pure.

openInterestHist's ``timestamp`` is the instant of the snapshot; it tells no mark price, so there is none. Fields of
``oi:alerter`` are ``BTCUSDT UP 5 min`` and ``cursor``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from services.oi_alerter.detector import Alert, Key, Latch
from services.oi_alerter.history import Sample
from shared.alert import AlertBody
from shared.clock import iso
from shared.errors import UNREADABLE, WireError
from shared.numbers import Instant, non_negative

SOURCE = "oi_realtime_poller"  # what the backend knows such alerts by


class _Row(msgspec.Struct, rename="camel"):
    symbol: str
    sum_open_interest: str
    timestamp: Instant


class _Latch(msgspec.Struct, rename="camel"):
    fired_at: Instant
    outside_at: Instant


_json = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(list[_Row], strict=False)  # timestamps have been seen as text
_latch = msgspec.json.Decoder(_Latch)


def open_interest_hist(body: bytes, symbol: str) -> list[Sample]:
    """Zero open interest is no baseline: such a row is left out."""
    try:
        rows = _rows.decode(body)
        if any(row.symbol != symbol for row in rows):
            raise ValueError("a row of another symbol")
        told = [(row.timestamp, float(non_negative(row.sum_open_interest))) for row in rows]
    except UNREADABLE as e:
        raise WireError("bad_history", f"{symbol}: {e}") from e
    return [Sample(at_ms, contracts, None) for at_ms, contracts in told if contracts]


def encode_latch(key: Key, latch: Latch) -> tuple[str, bytes]:
    return " ".join(key), _json.encode(_Latch(latch.fired_ms, latch.outside_ms))


def decode_latch(name: bytes, blob: bytes) -> tuple[Key, Latch]:
    try:
        symbol, direction, timeframe = name.decode().split(" ", 2)
        row = _latch.decode(blob)
    except UNREADABLE as e:
        raise WireError("stored_latch", f"{name!r:.60}: {e}") from e
    return Key(symbol, direction, timeframe), Latch(row.fired_at, row.outside_at)


def alert_body(alert: Alert, funding_rate: Decimal | None) -> AlertBody:
    return AlertBody(
        symbol=alert.key.symbol,
        direction="UP" if alert.key.direction == "UP" else "DOWN",
        baseline=alert.baseline.open_interest,
        current=alert.current.open_interest,
        pct_change=alert.change,
        abs_change=alert.contracts,
        timeframe=alert.key.timeframe,
        timestamp=iso(alert.current.at_ms),
        source=SOURCE,
        price_change=alert.price_change,
        funding_rate=None if funding_rate is None else float(funding_rate),
    )
