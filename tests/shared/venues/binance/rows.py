"""Stream rows and frames in the venue's shape, as bytes."""

from __future__ import annotations

import json
from typing import Any

from tests.builders import NOW_MS


def mark_row(
    symbol: str = "BTCUSDT", price: str = "83134.61729710", event_ms: int = NOW_MS, **changes: Any
) -> dict[str, Any]:
    row = {"e": "markPriceUpdate", "E": event_ms, "s": symbol, "p": price, "ap": price, "P": "83143.84436135"}
    return {**row, "i": "83165.64673913", "r": "0.00000253", "T": NOW_MS + 3_600_000, "st": 1, **changes}


def mini_row(
    symbol: str = "BTCUSDT", quote: str = "15202373572.10", event_ms: int = NOW_MS, **changes: Any
) -> dict[str, Any]:
    row = {"e": "24hrMiniTicker", "E": event_ms, "s": symbol, "ps": symbol, "c": "42731.50", "o": "40971.90"}
    return {**row, "h": "43517.60", "l": "40812.90", "v": "360594.073", "q": quote, "st": 1, **changes}


def ticker_row(symbol: str = "XPTUSDT") -> dict[str, Any]:
    """Here ``p`` is the 24 h price change."""
    return {
        "e": "24hrTicker",
        "E": NOW_MS,
        "s": symbol,
        "p": "-54.1500",
        "P": "-3.211",
        "c": "1632.4800",
        "q": "1.0",
        "st": 1,
    }


def frame(*rows: Any, stream: str = "!markPrice@arr@1s") -> bytes:
    return json.dumps({"stream": stream, "data": list(rows)}, ensure_ascii=False).encode()
