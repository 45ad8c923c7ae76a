"""Bodies of exchangeInfo and openInterest -> facts, or one `WireError`; pure. Unknown keys are ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from shared.errors import UNREADABLE, WireError
from shared.model import OpenInterest, valid_symbol
from shared.numbers import Instant, instant, non_negative


class Listing(msgspec.Struct, frozen=True, rename="camel"):
    """One contract of exchangeInfo. ``onboard_date``, Unix ms, tells a relisted ticker from the one that died."""

    symbol: str
    contract_type: str  # "" and "CURRENT_QUARTER DELIVERING" exist
    quote_asset: str
    status: str
    onboard_date: Instant


class ExchangeInfo(msgspec.Struct, frozen=True):
    listings: dict[str, Listing]
    weight_limit: int | None  # request weight a minute; None: not told


class _Info(msgspec.Struct, rename="camel"):
    symbols: list[msgspec.Raw]
    rate_limits: list[msgspec.Raw] = []


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: Annotated[int, msgspec.Meta(gt=0, le=1_000_000)]


class _OpenInterest(msgspec.Struct, rename="camel"):
    symbol: str
    open_interest: str
    time: int


_info = msgspec.json.Decoder(_Info)
_listing = msgspec.json.Decoder(Listing)
_rate_limit = msgspec.json.Decoder(_RateLimit)
_open_interest = msgspec.json.Decoder(_OpenInterest)


def exchange_info(body: bytes, on_bad: Callable[[WireError], None]) -> ExchangeInfo:
    """Every contract that can be read; a malformed row goes to ``on_bad`` and costs only itself."""
    try:
        info = _info.decode(body)
    except UNREADABLE as e:
        raise WireError("bad_exchange_info", str(e)) from e
    listings: dict[str, Listing] = {}
    for row in info.symbols:
        try:
            listing = _listing.decode(row)
            listings[valid_symbol(listing.symbol)] = listing
        except UNREADABLE as e:
            on_bad(WireError("bad_listing", f"{e} in {bytes(row)[:60]!r}"))
    return ExchangeInfo(listings, _weight_limit(info.rate_limits))


def _weight_limit(rows: list[msgspec.Raw]) -> int | None:
    for row in rows:
        try:
            rule = _rate_limit.decode(row)
        except UNREADABLE:
            continue
        if (rule.rate_limit_type, rule.interval, rule.interval_num) == ("REQUEST_WEIGHT", "MINUTE", 1):
            return rule.limit
    return None


def open_interest(body: bytes, symbol: str, received_ms: int) -> OpenInterest:
    """``time`` is the contract's last change, minutes old on a quiet one. Zero is a legitimate reading."""
    try:
        row = _open_interest.decode(body)
        if row.symbol != symbol:
            raise ValueError(f"answers for {row.symbol!r:.40}")
        return OpenInterest(symbol, non_negative(row.open_interest), instant(row.time), received_ms)
    except UNREADABLE as e:
        raise WireError("bad_open_interest", f"{symbol}: {e}") from e
