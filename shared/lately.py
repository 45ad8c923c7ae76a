"""``oi:past``: the last rows of each symbol out of the keeper's file, for who begins with nothing to compare with.

A row is ``[received, Unix ms, "contracts", "mark" or null]``, oldest first, one a minute.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.errors import UNREADABLE, WireError
from shared.history.block import Row
from shared.numbers import Instant, non_negative, positive

KEY = "oi:past"
SPAN_MS = 70 * 60_000
KEPT_MS = 600_000  # then it is written anew

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[tuple[Instant, str, str | None]])


def encode_rows(rows: Iterable[Row]) -> bytes:
    return _encoder.encode([row[:3] for row in rows])


def decode_rows(symbol: str, blob: bytes) -> list[Row]:
    try:
        rows = [Row(*row) for row in _decoder.decode(blob)]
        for row in rows:
            non_negative(row.contracts)
            if row.mark is not None:
                positive(row.mark)
    except UNREADABLE as e:
        raise WireError("stored_past", f"{symbol}: {e}") from e
    return rows
