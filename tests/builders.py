"""Short ways to make one fact with the rest of its fields plausible."""

from __future__ import annotations

from decimal import Decimal

import httpx

from shared.codec import MarkText
from shared.model import MarkPrice, OpenInterest, QuoteVolume, Reading, Sweep
from shared.reply import Reply

NOW_MS = 1_764_720_000_000


def mark(symbol: str = "BTCUSDT", price: str = "93041.35202399", **changes: object) -> MarkPrice:
    fields: dict[str, object] = {
        "mark_price": Decimal(price),
        "index_price": Decimal("93010.00000000"),
        "funding_rate": Decimal("0.00010000"),
        "next_funding_ms": NOW_MS + 3_600_000,
        "event_ms": NOW_MS,
        "received_ms": NOW_MS,
    }
    return MarkPrice(symbol, **(fields | changes))  # type: ignore[arg-type]


def mark_text(price: str = "93041.35202399", event_ms: int = NOW_MS) -> MarkText:
    return MarkText(price, "93010.00000000", "0.00010000", NOW_MS + 3_600_000, event_ms, event_ms)


def volume(symbol: str = "BTCUSDT", quote: str = "123456789.12", event_ms: int = NOW_MS) -> QuoteVolume:
    return QuoteVolume(symbol, Decimal(quote), event_ms)


def oi(symbol: str = "BTCUSDT", contracts: str = "82345.123", received_ms: int = NOW_MS) -> OpenInterest:
    return OpenInterest(symbol, Decimal(contracts), received_ms - 500, received_ms)


def reading(symbol: str = "BTCUSDT", contracts: str = "82345.123", **changes: object) -> Reading:
    received_ms = changes.pop("received_ms", NOW_MS)
    price = changes.pop("price", "93041.35202399")
    assert not changes, changes
    return Reading(
        oi(symbol, contracts, received_ms),  # type: ignore[arg-type]
        None if price is None else Decimal(str(price)),
    )


def sweep(*readings: Reading, failures: dict[str, str] | None = None, ended_ms: int = NOW_MS, name: str = "") -> Sweep:
    rows = {r.open_interest.symbol: r for r in readings}
    return Sweep(name or f"sweep-{ended_ms}", ended_ms - 900, ended_ms, rows, failures or {})


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> Reply:
    """``retry_after`` and the like become header names."""
    return Reply(status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), body)
