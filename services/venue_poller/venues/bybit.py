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
    Request,
    Venue,
    agree,
    contract,
    each,
    outstanding,
    price,
    whole_body,
)
from shared.coins import unit_of
from shared.errors import RateLimited, WireError
from shared.model import Sides, VenueOpenInterest
from shared.numbers import Instant, positive

TOO_MANY = {10006, 10018}  # told with status 200
PATH = "/v5/market/tickers"
LINEAR, INVERSE = ("USDT", "PERP"), ("USD",)  # how their symbols end; PERP is settled in USDC


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
    linear, inverse = (_rows(body, ends, received_ms) for body, ends in zip(bodies, (LINEAR, INVERSE), strict=True))
    return Decoded(linear.rows + inverse.rows, linear.bad + inverse.bad, linear.aside + inverse.aside)


def _rows(body: bytes, ends: tuple[str, ...], received_ms: int) -> Decoded:
    read = whole_body(_body, body)
    if read.ret_code in TOO_MANY:
        raise RateLimited(f"{read.ret_code} {read.ret_msg:.80}", 60.0)
    if read.ret_code != 0:
        raise WireError("venue_error", f"{read.ret_code} {read.ret_msg:.80}")
    rows, venue_ms = whole_body(_result, read.result).rows, read.time or None
    return each(rows, lambda raw: _perpetual(_ticker.decode(raw), ends, venue_ms, received_ms))


def _perpetual(t: _Ticker, ends: tuple[str, ...], venue_ms: int | None, received_ms: int) -> VenueOpenInterest:
    if t.delivery_time not in {"", "0"} or "-" in t.symbol:
        raise Aside("dated")
    end = next((end for end in ends if t.symbol.endswith(end)), None)
    if end is None:
        raise Aside("other")
    told, sides = _side(t)
    mark, inverse = positive(t.mark_price), ends == INVERSE
    value = price(t.single_open_interest_value if sides == "one" else t.open_interest_value)
    if inverse and value is not None:
        agree(told / mark, value, f"{t.symbol}: USD at the mark, and the value in coin")
    return contract(
        "bybit",
        t.symbol,
        unit_of(t.symbol.removesuffix(end)),
        received_ms,
        told=told,
        counts="usd" if inverse else "base",
        size=told / mark if inverse else told,
        sides=sides,
        mark=mark,
        told_usd=told if inverse else value,
        funding=t.funding_rate,
        venue_ms=venue_ms,
    )


def _side(t: _Ticker) -> tuple[Decimal, Sides]:
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
    decode=decode,
)
