"""``oi:venue:<venue>`` and ``oi:venues``: what other venues tell, as it stands in Redis. Keys and encodings.

A field of the first is a coin, its value one line: the venue's contracts of that coin. A field of the second is a
venue, its value one line: when it was last read, how much, what was refused. Binance has its own, as one among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from shared.aggregate import Aggregate, Out, aggregate
from shared.errors import WireError
from shared.model import Counts, MarkOf, Sides, VenueOpenInterest, valid_symbol
from shared.numbers import Instant, finite, plain, plain_or_none, positive
from shared.store import Stored, redis_faults

VENUE = "oi:venue:"  # + venue: hash coin -> one line, written by venue_poller
VENUES = "oi:venues"  # hash venue -> one line, written by venue_poller
BINANCE = "binance"


class _Stored(msgspec.Struct, rename="camel", omit_defaults=True):
    """One contract; numbers keep their decimal text. ``usd`` is for the eye: it follows from base and mark."""

    symbol: str
    base: str
    usd: str
    sides: Sides
    mark: str
    mark_of: MarkOf
    told: str
    unit: Counts
    at: Instant
    multiplier: int = 1
    funding: str | None = None
    t: Instant | None = None
    past: tuple[str | None, str | None, str | None] = (None, None, None)


class Refusal(msgspec.Struct, frozen=True):
    """A contract that is not believed: since when, Unix ms, and the evidence."""

    coin: str
    why: str
    detail: str
    since: Instant


class VenueLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a venue stands. Instants in Unix ms; ``at`` is the last round that was believed, 0: none yet."""

    at: Instant
    asked: Instant
    rows: int
    coins: int
    refused: dict[str, Refusal] = {}
    aside: dict[str, int] = {}  # none of ours, by why: dated, delisted, unmatched …
    trouble: str = ""  # why the last round brought nothing
    until: Instant = 0  # nothing is sent to it before
    warning: str = ""  # of Binance's line: what the others say against it


_line = msgspec.json.Decoder(list[_Stored])
_venue = msgspec.json.Decoder(VenueLine)
_json = msgspec.json.Encoder()


def encode_rows(rows: list[VenueOpenInterest]) -> bytes:
    return _json.encode([_stored(row) for row in rows])


def _stored(row: VenueOpenInterest) -> _Stored:
    usd = row.usd
    if usd is None or row.mark_price is None:
        raise ValueError(f"{row.venue} {row.symbol} has no price")
    then, earlier, earliest = row.past
    return _Stored(
        symbol=row.symbol,
        base=plain(row.base),
        usd=f"{usd:.2f}",
        sides=row.sides,
        mark=plain(row.mark_price),
        mark_of=row.mark_of,
        told=plain(row.told),
        unit=row.unit,
        at=row.received_ms,
        multiplier=row.multiplier,
        funding=plain_or_none(row.funding_rate),
        t=row.venue_ms,
        past=(plain_or_none(then), plain_or_none(earlier), plain_or_none(earliest)),
    )


def _row(venue: str, coin: str, one: _Stored) -> VenueOpenInterest:
    then, earlier, earliest = (None if text is None else positive(text) for text in one.past)
    return VenueOpenInterest(
        venue=venue,
        symbol=valid_symbol(one.symbol),
        coin=coin,
        multiplier=one.multiplier,
        told=positive(one.told),
        unit=one.unit,
        base=positive(one.base),
        sides=one.sides,
        mark_price=positive(one.mark),
        mark_of=one.mark_of,
        funding_rate=None if one.funding is None else finite(one.funding),
        venue_ms=one.t,
        received_ms=one.at,
        past=(then, earlier, earliest),
    )


def venue_rows(venue: str) -> Stored[list[VenueOpenInterest]]:
    """The hash of one venue: coin -> its contracts of that coin."""

    def read(coin: str, blob: bytes) -> list[VenueOpenInterest]:
        return [_row(venue, valid_symbol(coin), one) for one in _line.decode(blob)]

    return Stored(VENUE + venue, encode_rows, read)


VENUE_LINES: Stored[VenueLine] = Stored(VENUES, _json.encode, lambda _, blob: _venue.decode(blob))


class AllVenues(NamedTuple):
    """What all venues tell at one instant: venue -> coin -> contracts, and how each stands. Empty: none is read."""

    rows: Mapping[str, Mapping[str, list[VenueOpenInterest]]]
    lines: Mapping[str, VenueLine]

    def coins(self) -> set[str]:
        return {coin for of_venue in self.rows.values() for coin in of_venue}

    def of(self, coin: str) -> list[VenueOpenInterest]:
        return [row for of_venue in self.rows.values() for row in of_venue.get(coin, ())]

    def refused(self, coin: str) -> dict[tuple[str, str], Refusal]:
        return {
            (venue, symbol): refusal
            for venue, line in self.lines.items()
            for symbol, refusal in line.refused.items()
            if refusal.coin == coin
        }

    def sum(self, coin: str, now_ms: int) -> Aggregate:
        refused = (Out(venue, symbol, one.why) for (venue, symbol), one in self.refused(coin).items())
        return aggregate(coin, self.of(coin), now_ms, refused)


async def read_venues(redis: Redis, on_bad: Callable[[WireError], None], coin: str = "") -> AllVenues:
    """In two round trips: who there is, then what each tells, of one coin or of all. Raises `Transient`."""
    lines = await VENUE_LINES.all(redis, on_bad)
    stored = {venue: venue_rows(venue) for venue in lines}
    async with redis_faults(), redis.pipeline(transaction=False) as pipe:
        for one in stored.values():
            pipe.hget(one.key, coin) if coin else pipe.hgetall(one.key)
        told = await pipe.execute()
    if coin:
        told = [{} if blob is None else {coin.encode(): blob} for blob in told]
    rows = {venue: one.decoded(of_venue, on_bad) for (venue, one), of_venue in zip(stored.items(), told, strict=True)}
    return AllVenues(rows, lines)
