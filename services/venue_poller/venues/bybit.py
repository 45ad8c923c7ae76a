"""Bybit: linear (USDT and USDC) and inverse perpetuals.

Since 2026-06-11 ``singleOpenInterest`` counts one side and ``openInterest`` both. A row without the single figure could
be either: its sides are unknown. Linear figures are base coin and their value the quote; of an inverse contract, one of
which is 1 USD, the figure is USD and the *value* the coin.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from services.venue_poller.venue import (
    Aside,
    Decoded,
    Limit,
    Request,
    Venue,
    agree,
    contract,
    each,
    envelope,
    outstanding,
    price,
)
from shared.coins import unit_of
from shared.errors import UNREADABLE, RateLimited, WireError
from shared.model import VenueOpenInterest
from shared.numbers import Instant, positive

TOO_MANY = {10006, 10018}  # told with status 200
PATH = "/v5/market/tickers"


class _Ticker(msgspec.Struct, rename="camel"):
    symbol: str
    open_interest: str = ""  # both sides
    single_open_interest: str = ""
    open_interest_value: str = ""
    single_open_interest_value: str = ""
    mark_price: str = ""
    funding_rate: str = ""
    delivery_time: str = ""


class _Result(msgspec.Struct):
    rows: list[msgspec.Raw] = msgspec.field(name="list")


class _Body(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")
    time: Instant = 0


_body = msgspec.json.Decoder(_Body)
_result = msgspec.json.Decoder(_Result)
_ticker = msgspec.json.Decoder(_Ticker)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    linear, inverse = (_rows(body) for body in bodies)
    found = each(linear[0], lambda raw: _linear(_perpetual(raw), linear[1], received_ms))
    others = each(inverse[0], lambda raw: _inverse(_perpetual(raw), inverse[1], received_ms))
    return Decoded(found.rows + others.rows, found.bad + others.bad, found.aside + others.aside)


def _rows(body: bytes) -> tuple[list[msgspec.Raw], int]:
    try:
        read = _body.decode(body)
        if read.ret_code in TOO_MANY:
            raise RateLimited(f"{read.ret_code} {read.ret_msg:.80}", 60.0)
        if read.ret_code != 0:
            raise WireError("venue_error", f"{read.ret_code} {read.ret_msg:.80}")
        return _result.decode(read.result).rows, read.time
    except UNREADABLE as e:
        raise envelope(e) from e


def _perpetual(raw: msgspec.Raw) -> _Ticker:
    ticker = _ticker.decode(raw)
    if ticker.delivery_time not in {"", "0"} or "-" in ticker.symbol:
        raise Aside("dated")
    return ticker


def _linear(t: _Ticker, venue_ms: int, received_ms: int) -> VenueOpenInterest:
    quote = next((quote for quote in ("USDT", "PERP") if t.symbol.endswith(quote)), None)
    if quote is None:
        raise Aside("other")
    told, sides = _side(t)
    return contract(
        "bybit",
        t.symbol,
        unit_of(t.symbol.removesuffix(quote)),
        received_ms,
        told=told,
        counts="base",
        size=told,
        sides=sides,
        mark=positive(t.mark_price),
        told_usd=price(_value(t, sides)),
        funding=t.funding_rate,
        venue_ms=venue_ms or None,
    )


def _inverse(t: _Ticker, venue_ms: int, received_ms: int) -> VenueOpenInterest:
    if not t.symbol.endswith("USD"):
        raise Aside("other")
    (told, sides), mark = _side(t), positive(t.mark_price)
    in_coin = price(_value(t, sides))
    if in_coin is not None:
        agree(told / mark, in_coin, f"{t.symbol}: USD at the mark, and the value in coin")
    return contract(
        "bybit",
        t.symbol,
        unit_of(t.symbol.removesuffix("USD")),
        received_ms,
        told=told,
        counts="usd",
        size=told / mark,
        sides=sides,
        mark=mark,
        told_usd=told,
        funding=t.funding_rate,
        venue_ms=venue_ms or None,
    )


def _value(t: _Ticker, sides: str) -> str:
    return t.single_open_interest_value if sides == "one" else t.open_interest_value


def _side(t: _Ticker) -> tuple[Decimal, str]:
    """The figure of one side, held against that of both where both are told; without it nobody knows which it is."""
    if not t.single_open_interest:
        return outstanding(t.open_interest), "unknown"
    single = outstanding(t.single_open_interest)
    if t.open_interest:
        agree(single * 2, outstanding(t.open_interest), f"{t.symbol}: twice one side, and both sides")
    return single, "one"


VENUE = Venue(
    name="bybit",
    origin="https://api.bybit.com",
    requests=(Request(PATH, {"category": "linear"}), Request(PATH, {"category": "inverse"})),
    limit=Limit(600, 5),
    decode=decode,
    forbidden_s=600,
)
