"""Bitget: USDT perpetuals in one call, ``holdingAmount`` in base coin. Whose sides it counts nobody tells.

The unified API (v3) names the same figure ``openInterest``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.venue_poller.venue import Aside, Decoded, Request, Venue, coded, contract, each, outstanding, price
from shared.coins import unit_of
from shared.model import VenueOpenInterest
from shared.numbers import whole

TOO_MANY = {"429", "30007"}


class _Ticker(msgspec.Struct, rename="camel"):
    symbol: str
    holding_amount: str = ""
    open_interest: str = ""
    mark_price: str | None = None
    funding_rate: str | None = None
    delivery_time: str | None = None
    ts: str = ""


_ticker = msgspec.json.Decoder(_Ticker)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    rows = coded(bodies[0], good="00000", too_many=TOO_MANY)
    return each(rows, lambda raw: _perpetual(_ticker.decode(raw), received_ms))


def _perpetual(t: _Ticker, received_ms: int) -> VenueOpenInterest:
    if t.delivery_time or "_" in t.symbol:
        raise Aside("dated")
    if not t.symbol.endswith("USDT"):
        raise Aside("other")
    told, unit = outstanding(t.holding_amount or t.open_interest), unit_of(t.symbol.removesuffix("USDT"))
    return contract(
        "bitget",
        t.symbol,
        unit,
        received_ms,
        told=told,
        counts="base",
        size=told,
        sides="unknown",
        mark=price(t.mark_price),
        funding=t.funding_rate,
        venue_ms=whole(t.ts),
    )


VENUE = Venue(
    name="bitget",
    origin="https://api.bitget.com",
    requests=(Request("/api/v2/mix/market/tickers", {"productType": "USDT-FUTURES"}),),
    decode=decode,
)
