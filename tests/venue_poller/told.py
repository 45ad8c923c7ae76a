"""Answers of the venues, put together from recorded rows, and rows as a decoder makes them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.venue_poller.matching import Binance
from services.venue_poller.venue import Decoded
from services.venue_poller.venues import VENUES
from shared.model import VenueOpenInterest
from tests.builders import NOW_MS, mark, reading

PAYLOADS = Path(__file__).parent / "payloads"


def recorded(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_bytes())


def decode(venue: str, *bodies: Any) -> Decoded:
    return VENUES[venue].decode([json.dumps(body).encode() for body in bodies], NOW_MS)


def bybit(*linear: Any, inverse: tuple[Any, ...] = (), time: int = NOW_MS) -> Decoded:
    def body(rows: tuple[Any, ...]) -> Any:
        return {"retCode": 0, "retMsg": "OK", "result": {"category": "x", "list": rows}, "time": time}

    return decode("bybit", body(linear), body(inverse))


def okx(*rows: Any) -> Decoded:
    return decode("okx", {"code": "0", "msg": "", "data": rows})


def gate(*rows: Any, inverse: tuple[Any, ...] = ()) -> Decoded:
    return decode("gate", rows, inverse)


def hyperliquid(names: list[Any], contexts: list[Any]) -> Decoded:
    return decode("hyperliquid", [{"universe": names}, contexts])


def bitget(*rows: Any) -> Decoded:
    return decode("bitget", {"code": "00000", "msg": "success", "requestTime": NOW_MS, "data": rows})


def told(
    symbol: str = "BTCUSDT", base: str = "28000", *, coin: str = "BTC", price: str | None = "93000", **changes: Any
) -> VenueOpenInterest:
    fields: dict[str, Any] = {
        "venue": "bybit",
        "multiplier": 1,
        "told": Decimal(base),
        "unit": "base",
        "sides": "one",
        "mark_of": "venue",
        "funding_rate": None,
        "venue_ms": None,
        "received_ms": NOW_MS,
    }
    return VenueOpenInterest(
        symbol=symbol,
        coin=coin,
        base=Decimal(base),
        mark_price=None if price is None else Decimal(price),
        **(fields | changes),
    )


def binance(now_ms: int = NOW_MS, **coins: tuple[str, str]) -> Binance:
    """``BTCUSDT=(mark, open interest)``; by default the five that the tests speak of."""
    known = coins or {"BTCUSDT": ("93000", "95000"), "ETHUSDT": ("3000", "2000000"), "1000PEPEUSDT": ("0.004", "9e9")}
    marks = {symbol: mark(symbol, price, received_ms=now_ms) for symbol, (price, _) in known.items()}
    contracts = {s: reading(s, f"{Decimal(oi):f}", received_ms=now_ms) for s, (_, oi) in known.items()}
    return Binance(marks, contracts, now_ms)
