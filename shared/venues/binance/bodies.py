"""Bodies of good answers -> facts, or one `WireError`; pure. Unknown keys are ignored, a bad row costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, NamedTuple

import msgspec

from shared.errors import UNREADABLE, WireError
from shared.model import OpenInterest, valid_symbol
from shared.numbers import Instant, instant, non_negative
from shared.venues.binance.frames import MARK, VOLUME, Row, Rows, integer, optional, raw_rows, start_of, text_or_none


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


class _PremiumIndexRow(msgspec.Struct, rename="camel"):
    """``time`` is the same second for all crypto rows, delisted ones included: it does not prove a live contract."""

    symbol: str
    mark_price: str
    time: int
    index_price: msgspec.Raw = msgspec.Raw(b"null")
    last_funding_rate: msgspec.Raw = msgspec.Raw(b"null")
    next_funding_time: msgspec.Raw = msgspec.Raw(b"0")


class _TickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    quote_volume: str
    close_time: int


class _PastRow(msgspec.Struct, rename="camel"):
    symbol: str
    sum_open_interest: str
    timestamp: Instant
    sum_open_interest_value: str | None = None


_info = msgspec.json.Decoder(_Info)
_listing = msgspec.json.Decoder(Listing)
_rate_limit = msgspec.json.Decoder(_RateLimit)
_open_interest = msgspec.json.Decoder(_OpenInterest)
_premium_index_row = msgspec.json.Decoder(_PremiumIndexRow)
_ticker_row = msgspec.json.Decoder(_TickerRow)
_past = msgspec.json.Decoder(list[_PastRow], strict=False)  # timestamps have been seen as text


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


class Statistic(NamedTuple):
    at_ms: int  # of the snapshot
    contracts: Decimal
    value: Decimal | None  # in the quote asset; None: not told, or not to be read


def open_interest_statistics(body: bytes, symbol: str) -> list[Statistic]:
    """openInterestHist, oldest first as it comes. Periods without a trade are omitted; no mark price is told."""
    try:
        rows = _past.decode(body)
        if any(row.symbol != symbol for row in rows):
            raise ValueError("a row of another symbol")
        return [Statistic(row.timestamp, non_negative(row.sum_open_interest), _value(row)) for row in rows]
    except UNREADABLE as e:
        raise WireError("bad_history", f"{symbol}: {e}") from e


def _value(row: _PastRow) -> Decimal | None:
    try:
        return non_negative(row.sum_open_interest_value)
    except ValueError:
        return None


def premium_index(body: bytes) -> Rows:
    """``GET /fapi/v1/premiumIndex`` as rows of the stream, so that both sources go one way from here."""

    def row(item: msgspec.Raw, bad: list[WireError]) -> Row:
        r = _premium_index_row.decode(item)
        texts = (r.index_price, r.last_funding_rate)
        index, rate = (optional(text_or_none, raw, None, r.symbol, bad) for raw in texts)
        next_funding = optional(integer, r.next_funding_time, 0, r.symbol, bad)
        return Row(MARK, r.time, r.symbol, r.mark_price, index, rate, next_funding)

    return _each(body, row)


def ticker_24h(body: bytes) -> Rows:
    """``GET /fapi/v1/ticker/24hr`` as mini-ticker rows: the stream never names a symbol that does not trade."""

    def row(item: msgspec.Raw, _: list[WireError]) -> Row:
        r = _ticker_row.decode(item)
        return Row(VOLUME, r.close_time, r.symbol, q=r.quote_volume)

    return _each(body, row)


def _each(body: bytes, read: Callable[[msgspec.Raw, list[WireError]], Row]) -> Rows:
    try:
        items = raw_rows.decode(body)
    except UNREADABLE as e:
        raise WireError("not_a_list", f"{e}: {start_of(body)}") from e
    rows: list[Row] = []
    bad: list[WireError] = []
    for item in items:
        try:
            rows.append(read(item, bad))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {start_of(bytes(item))}"))
    return Rows(rows, bad)
