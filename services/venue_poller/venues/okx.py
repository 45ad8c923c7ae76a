"""OKX: every swap in one call. ``oi`` is contracts with float dust, ``oiCcy`` base coin, ``oiUsd`` USD; one side.

That it is one side is inferred: it stands level with Bybit's single figure. No mark and no funding come with it; the
price that ``oiUsd`` implies serves to prove which coin it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.venue_poller.venue import (
    Aside,
    Decoded,
    Limit,
    Request,
    Venue,
    contract,
    each,
    envelope,
    outstanding,
    price,
)
from shared.coins import QUOTES, unit_of
from shared.errors import UNREADABLE, RateLimited, WireError
from shared.model import VenueOpenInterest
from shared.numbers import whole

TOO_MANY = {"50011", "50061"}


class _Row(msgspec.Struct, rename="camel"):
    inst_id: str
    oi: str
    oi_ccy: str
    ts: str
    oi_usd: str = ""


class _Body(msgspec.Struct):
    code: str
    msg: str = ""
    data: list[msgspec.Raw] = []


_body = msgspec.json.Decoder(_Body)
_row = msgspec.json.Decoder(_Row)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    try:
        read = _body.decode(bodies[0])
    except UNREADABLE as e:
        raise envelope(e) from e
    if read.code in TOO_MANY:
        raise RateLimited(f"{read.code} {read.msg:.80}", 10.0)
    if read.code != "0":
        raise WireError("venue_error", f"{read.code:.20} {read.msg:.80}")
    return each(read.data, lambda raw: _swap(_row.decode(raw), received_ms))


def _swap(row: _Row, received_ms: int) -> VenueOpenInterest:
    base, _, rest = row.inst_id.partition("-")
    quote, _, kind = rest.partition("-")
    if kind != "SWAP":
        raise Aside("dated")
    if quote not in {*QUOTES, "USD"}:
        raise Aside("other")
    return contract(
        "okx",
        row.inst_id,
        unit_of(base),
        received_ms,
        told=outstanding(row.oi),
        counts="contracts",
        size=outstanding(row.oi_ccy),
        sides="one",
        mark=None,
        told_usd=price(row.oi_usd),
        venue_ms=whole(row.ts),
    )


VENUE = Venue(
    name="okx",
    origin="https://www.okx.com",
    requests=(Request("/api/v5/public/open-interest", {"instType": "SWAP"}),),
    limit=Limit(20, 2),
    decode=decode,
)
