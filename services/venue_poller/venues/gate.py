"""Gate: ``/contracts``, whose ``position_size`` counts long positions: one side. ``/tickers`` tells about twice that.

``position_size`` x ``quanto_multiplier`` is base coin; of an inverse contract (multiplier 0) one is 1 USD. No stamp.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.venue_poller.venue import Aside, Decoded, Request, Venue, contract, each, outstanding, whole_body
from shared.coins import unit_of
from shared.model import VenueOpenInterest
from shared.numbers import positive

PATH = "/api/v4/futures/{settle}/contracts"


class _Contract(msgspec.Struct):
    name: str
    position_size: int | str
    quanto_multiplier: str
    mark_price: str
    type: str = "direct"
    funding_rate: str = ""
    status: str = "trading"
    in_delisting: bool = False


_rows = msgspec.json.Decoder(list[msgspec.Raw])
_contract = msgspec.json.Decoder(_Contract)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    items = [item for body in bodies for item in whole_body(_rows, body)]
    return each(items, lambda raw: _perpetual(_contract.decode(raw), received_ms))


def _perpetual(c: _Contract, received_ms: int) -> VenueOpenInterest:
    name, _, quote = c.name.rpartition("_")
    inverse = c.type == "inverse"
    if quote != ("USD" if inverse else "USDT"):
        raise Aside("other")
    if c.in_delisting or c.status != "trading":
        raise Aside("delisted")
    told, mark = outstanding(c.position_size), positive(c.mark_price)
    return contract(
        "gate",
        c.name,
        unit_of(name),
        received_ms,
        told=told,
        counts="usd" if inverse else "contracts",
        size=told / mark if inverse else told * positive(c.quanto_multiplier),
        sides="one",
        mark=mark,
        told_usd=told if inverse else None,
        funding=c.funding_rate,
    )


VENUE = Venue(
    name="gate",
    origin="https://api.gateio.ws",
    requests=(Request(PATH.format(settle="usdt")), Request(PATH.format(settle="btc"))),
    decode=decode,
)
