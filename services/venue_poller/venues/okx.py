"""OKX: every swap in one call. ``oi`` is contracts with float dust, ``oiCcy`` base coin, ``oiUsd`` USD; one side.

That it is one side is inferred: it stands level with Bybit's single figure. No mark and no funding come with it; the
price that ``oiUsd`` implies serves to prove which coin it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.venue_poller.venue import Aside, Decoded, Request, Venue, coded, contract, each, outstanding, price
from shared.coins import QUOTES, unit_of
from shared.model import VenueOpenInterest
from shared.numbers import whole

TOO_MANY = {"50011", "50061"}


class _Row(msgspec.Struct, rename="camel"):
    inst_id: str
    oi: str
    oi_ccy: str
    ts: str
    oi_usd: str = ""


_row = msgspec.json.Decoder(_Row)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    rows = coded(bodies[0], good="0", too_many=TOO_MANY)
    return each(rows, lambda raw: _swap(_row.decode(raw), received_ms))


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
    decode=decode,
)
