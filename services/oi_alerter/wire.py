"""Bytes -> facts, or one `WireError`, and back; pure.

Fields of ``oi:alerter`` are ``BTCUSDT UP 5 min`` and ``cursor``.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from services.oi_alerter.detector import Alert, Key, Latch
from services.oi_alerter.history import Sample
from shared.alert import AlertBody
from shared.clock import iso
from shared.errors import UNREADABLE, WireError
from shared.lately import decode_rows
from shared.venues.binance import bodies

SOURCE = "oi_realtime_poller"  # what the backend knows such alerts by

_encode_latch = msgspec.json.Encoder().encode
_latch = msgspec.json.Decoder(Latch)


def past_samples(body: bytes, symbol: str) -> list[Sample]:
    """Of openInterestHist's body. Zero open interest is no baseline: such a row is left out."""
    told = bodies.open_interest_statistics(body, symbol)
    return [Sample(one.at_ms, float(one.contracts), None) for one in told if one.contracts]


def kept_samples(rows: bytes, symbol: str) -> list[Sample]:
    """Of the keeper's rows, with their mark prices."""
    told = decode_rows(symbol, rows)
    return [
        Sample(row.received_ms, contracts, None if row.mark is None else float(row.mark))
        for row in told
        if (contracts := float(row.contracts))
    ]


def encode_latch(key: Key, latch: Latch) -> tuple[str, bytes]:
    return " ".join(key), _encode_latch(latch)


def decode_latch(name: bytes, blob: bytes) -> tuple[Key, Latch]:
    try:
        symbol, direction, timeframe = name.decode().split(" ", 2)
        return Key(symbol, direction, timeframe), _latch.decode(blob)
    except UNREADABLE as e:
        raise WireError("stored_latch", f"{name!r:.60}: {e}") from e


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
