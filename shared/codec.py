"""Model <-> what stands in Redis: one-line JSON in hashes (readable with redis-cli), MessagePack in streams.

What this project wrote is checked like anything else: another version, or a hand with redis-cli, may have written it.
A row that cannot be read raises one of `UNREADABLE`, of which `Stored` makes a `WireError` that names the row.
"""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import msgspec
from msgspec import field

from shared.clock import from_iso, iso
from shared.errors import UNREADABLE, UNWRITABLE, WireError
from shared.model import MarkPrice, Member, OpenInterest, QuoteVolume, Reading, Served, Sweep
from shared.numbers import Instant, are_plain, finite, instant, non_negative, plain, plain_or_none, positive

SWEEP_VERSION = 1


class MarkText(msgspec.Struct, frozen=True, gc=False):
    """A `MarkPrice` as it stands in Redis: the exchange's own decimal text, checked, for who only passes it on."""

    mark_price: str = field(name="mark")
    index_price: str | None = field(name="index")
    funding_rate: str | None = field(name="funding")
    next_funding_ms: Instant = field(name="next")
    event_ms: Instant = field(name="t")
    received_ms: Instant = field(name="at")


class _StoredVolume(msgspec.Struct):
    quote: str
    t: Instant


class _StoredContracts(msgspec.Struct):
    oi: str
    t: Instant
    at: Instant
    mark: str | None


class _StoredMember(msgspec.Struct):
    quote_volume_24h: str = field(name="quoteVolume24h")
    entered_at: str = field(name="enteredAt")
    last_seen_at: str = field(name="lastSeenAt")
    onboard_date: Instant = field(name="onboardDate")


_json = msgspec.json.Encoder()
encode_mark_text: Callable[[MarkText], bytes] = _json.encode
encode_served: Callable[[Served], bytes] = _json.encode
_mark = msgspec.json.Decoder(MarkText)
_volume = msgspec.json.Decoder(_StoredVolume)
_contracts = msgspec.json.Decoder(_StoredContracts)
_served = msgspec.json.Decoder(Served)
_member = msgspec.json.Decoder(_StoredMember)


def decode_mark_text(symbol: str, blob: bytes) -> MarkText:
    row = _mark.decode(blob)
    if not are_plain(row.mark_price, row.index_price, row.funding_rate):
        raise ValueError(f"not plain decimals: {row!r:.160}")
    return row


def encode_mark(mark: MarkPrice) -> bytes:
    price, index, funding = plain(mark.mark_price), plain_or_none(mark.index_price), plain_or_none(mark.funding_rate)
    return _json.encode(MarkText(price, index, funding, mark.next_funding_ms, mark.event_ms, mark.received_ms))


def decode_mark(symbol: str, blob: bytes) -> MarkPrice:
    row = _mark.decode(blob)
    return MarkPrice(
        symbol=symbol,
        mark_price=positive(row.mark_price),
        index_price=None if row.index_price is None else finite(row.index_price),
        funding_rate=None if row.funding_rate is None else finite(row.funding_rate),
        next_funding_ms=row.next_funding_ms,
        event_ms=row.event_ms,
        received_ms=row.received_ms,
    )


def encode_volume(volume: QuoteVolume) -> bytes:
    return _json.encode(_StoredVolume(quote=plain(volume.quote_volume), t=volume.event_ms))


def decode_volume(symbol: str, blob: bytes) -> QuoteVolume:
    row = _volume.decode(blob)
    return QuoteVolume(symbol, non_negative(row.quote), row.t)


def encode_reading(reading: Reading) -> bytes:
    oi = reading.open_interest
    mark = plain_or_none(reading.mark_price)
    return _json.encode(_StoredContracts(oi=plain(oi.open_interest), t=oi.changed_ms, at=oi.received_ms, mark=mark))


def decode_reading(symbol: str, blob: bytes) -> Reading:
    row = _contracts.decode(blob)
    return _reading(symbol, row.oi, row.t, row.at, row.mark)


def encode_member(member: Member) -> bytes:
    return _json.encode(
        _StoredMember(
            quote_volume_24h=plain(member.quote_volume),
            entered_at=iso(member.entered_ms),
            last_seen_at=iso(member.last_seen_ms),
            onboard_date=member.onboard_ms,
        )
    )


def decode_member(symbol: str, blob: bytes) -> Member:
    row = _member.decode(blob)
    volume = non_negative(row.quote_volume_24h)
    return Member(symbol, volume, from_iso(row.entered_at), from_iso(row.last_seen_at), row.onboard_date)


def decode_served(_: str, blob: bytes) -> Served:
    return _served.decode(blob)


def _reading(symbol: str, oi: str, changed_ms: int, received_ms: int, mark: str | None) -> Reading:
    contracts = OpenInterest(symbol, non_negative(oi), changed_ms, received_ms)
    return Reading(contracts, None if mark is None else positive(mark))


class _PackedSweep(msgspec.Struct):
    v: int
    id: str
    start: Instant
    end: Instant
    oi: dict[str, tuple[str, int, int, str | None]]
    failed: dict[str, str]


_decode_packed = msgspec.msgpack.Decoder(_PackedSweep).decode


def encode_sweep(sweep: Sweep) -> bytes:
    """A reading that cannot be packed costs only its symbol, which then counts as failed."""
    rows, failures = {}, dict(sweep.failures)
    for symbol, reading in sweep.readings.items():
        oi = reading.open_interest
        try:
            instants = instant(oi.changed_ms), instant(oi.received_ms)
            rows[symbol] = (plain(oi.open_interest), *instants, plain_or_none(reading.mark_price))
        except UNWRITABLE:
            failures[symbol] = "unreadable"
    told = _PackedSweep(SWEEP_VERSION, sweep.sweep_id, sweep.started_ms, sweep.ended_ms, rows, failures)
    packed: bytes = msgpack.packb(msgspec.structs.asdict(told))
    return packed


def decode_sweep(blob: bytes) -> Sweep:
    """A number that cannot be trusted costs only its symbol, which then counts as failed."""
    try:
        packed = _decode_packed(blob)
        if packed.v != SWEEP_VERSION:
            raise ValueError(f"version {packed.v}, not {SWEEP_VERSION}")
    except UNREADABLE as e:
        raise WireError("stored_sweep", str(e)) from e
    readings: dict[str, Reading] = {}
    failures = dict(packed.failed)
    for symbol, (oi, changed_ms, received_ms, mark) in packed.oi.items():
        try:
            readings[symbol] = _reading(symbol, oi, instant(changed_ms), instant(received_ms), mark)
        except ValueError:
            failures[symbol] = "unreadable"
    return Sweep(packed.id, packed.start, packed.end, readings, failures)
