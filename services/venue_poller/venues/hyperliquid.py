"""Hyperliquid: the main dex in one call, ``openInterest`` in base coin. Whose sides it counts is not settled.

Contexts join the universe by index alone: where the lengths differ, nothing of the answer can be used. Delisted rows
stay in both, with 0. Builder dexes (``xyz:TSLA``) would each be a call of weight 20: not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.venue_poller.venue import Aside, Decoded, Request, Venue, contract, each, outstanding, whole_body
from shared.coins import Unit, unit_of
from shared.errors import WireError
from shared.model import VenueOpenInterest
from shared.numbers import positive


class _Asset(msgspec.Struct, rename="camel"):
    name: str
    is_delisted: bool | None = None


class _Meta(msgspec.Struct):
    universe: list[_Asset]


class _Context(msgspec.Struct, rename="camel"):
    open_interest: str
    mark_px: str | None = None
    funding: str | None = None


_body = msgspec.json.Decoder(tuple[_Meta, list[msgspec.Raw]])
_context = msgspec.json.Decoder(_Context)


def decode(bodies: Sequence[bytes], received_ms: int) -> Decoded:
    meta, contexts = whole_body(_body, bodies[0])
    if len(meta.universe) != len(contexts):
        raise WireError("misaligned", f"{len(meta.universe)} names and {len(contexts)} contexts")
    names = iter(meta.universe)
    return each(contexts, lambda raw: _row(next(names), _context.decode(raw), received_ms))


def _row(asset: _Asset, context: _Context, received_ms: int) -> VenueOpenInterest:
    if asset.is_delisted:
        raise Aside("delisted")
    told = outstanding(context.open_interest)
    return contract(
        "hyperliquid",
        asset.name,
        _unit(asset.name),
        received_ms,
        told=told,
        counts="base",
        size=told,
        sides="unknown",
        mark=positive(context.mark_px),
        funding=context.funding,
    )


def _unit(name: str) -> Unit:
    """``kPEPE``: a thousand. Names are in capitals otherwise."""
    if name[:1] == "k" and name[1:].isupper():
        return Unit(name[1:], 1000)
    return unit_of(name)


VENUE = Venue(
    name="hyperliquid",
    origin="https://api.hyperliquid.xyz",
    requests=(Request("/info", body=b'{"type":"metaAndAssetCtxs"}'),),
    decode=decode,
    pace_s=10.0,
)
