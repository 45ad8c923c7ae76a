"""``oi:changes``: by how much open interest of a symbol has moved since five minutes and up to a week ago.

A change is null where there is no row of the same series near enough to its base: across a gap, before the listing,
for a ticker that began anew. The base is never carried from further away; its age tells what was compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from shared.history.block import Row
from shared.numbers import Instant, non_negative

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
WINDOWS_MS = {
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "24h": 24 * HOUR_MS,
    "7d": 168 * HOUR_MS,
}
FARTHEST_MS = 30 * MINUTE_MS


def tolerance_ms(window_ms: int) -> int:
    """How far the base may lie from where it should: an eighth of the window, between one minute and thirty."""
    return min(max(window_ms // 8, MINUTE_MS), FARTHEST_MS)


class Change(msgspec.Struct, frozen=True, gc=False):
    """``change``: contracts, as a fraction of the base. ``price``: the same of the mark price; None: not known."""

    change: float
    price: float | None
    age: float  # seconds from the base to the present value, both as they were received


class Changes(
    msgspec.Struct, frozen=True, rename={"m5": "5m", "m15": "15m", "h1": "1h", "h4": "4h", "h24": "24h", "d7": "7d"}
):
    """``oi``: contracts now, received at ``at``, Unix ms."""

    at: Instant
    oi: str
    m5: Change | None
    m15: Change | None
    h1: Change | None
    h4: Change | None
    h24: Change | None
    d7: Change | None


def change(now: Row, base: Row | None) -> Change | None:
    """None without a base, and where it was zero: no fraction of that can be told."""
    if base is None or not (before := Decimal(base.contracts)):
        return None
    price = None if now.mark is None or base.mark is None else float(Decimal(now.mark) / Decimal(base.mark) - 1)
    return Change(float(Decimal(now.contracts) / before - 1), price, (now.received_ms - base.received_ms) / 1000)


def changes(now: Row, bases: Mapping[str, Row]) -> Changes:
    """``bases``: window -> the row to compare with, where there is one."""
    return Changes(now.received_ms, now.contracts, *(change(now, bases.get(window)) for window in WINDOWS_MS))


encode_changes = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Changes)


def decode_changes(symbol: str, blob: bytes) -> Changes:
    told = _decoder.decode(blob)
    non_negative(told.oi)
    return told
