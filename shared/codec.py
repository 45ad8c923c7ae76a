"""Model <-> what stands in Redis: one-line JSON in hashes (readable with redis-cli), MessagePack in streams.

Decoding raises `WireError`; what this project wrote is checked like anything else, since another version, or a hand
with redis-cli, may have written it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgpack
import msgspec

from shared.clock import from_iso, iso
from shared.errors import UNREADABLE, WireError
from shared.model import MarkPrice, Member, OpenInterest, QuoteVolume, Reading, Served, Sweep
from shared.numbers import are_plain, finite, non_negative, plain, positive

SWEEP_VERSION = 1


class MarkText(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "mark_price": "mark",
        "index_price": "index",
        "funding_rate": "funding",
        "next_funding_ms": "next",
        "event_ms": "t",
        "received_ms": "at",
    },
):
    """A `MarkPrice` as it stands in Redis: the exchange's own decimal text, checked, for who only passes it on."""

    mark_price: str
    index_price: str | None
    funding_rate: str | None
    next_funding_ms: int
    event_ms: int
    received_ms: int


class _StoredVolume(msgspec.Struct):
    quote: str
    t: int


class _StoredContracts(msgspec.Struct):
    oi: str
    t: int
    at: int
    mark: str | None


class _StoredServed(msgspec.Struct):
    usd: float | None
    since: int
    verdict: str


class _StoredMember(msgspec.Struct, rename="camel"):
    quote_volume_24h: str = msgspec.field(name="quoteVolume24h")  # "camel" would make it quoteVolume24H
    entered_at: str
    last_seen_at: str
    onboard_date: int


_json = msgspec.json.Encoder()
encode_mark_text: Callable[[MarkText], bytes] = _json.encode
_mark = msgspec.json.Decoder(MarkText)
_volume = msgspec.json.Decoder(_StoredVolume)
_contracts = msgspec.json.Decoder(_StoredContracts)
_served = msgspec.json.Decoder(_StoredServed)
_member = msgspec.json.Decoder(_StoredMember)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def decode_mark_text(symbol: str, blob: bytes) -> MarkText:
    try:
        row = _mark.decode(blob)
        if not are_plain(row.mark_price, row.index_price, row.funding_rate):
            raise ValueError(f"not plain decimals: {row!r:.160}")
    except UNREADABLE as e:
        raise WireError("stored_mark", f"{symbol}: {e}") from e
    return row


def encode_mark(mark: MarkPrice) -> bytes:
    price, index, funding = plain(mark.mark_price), _text(mark.index_price), _text(mark.funding_rate)
    return _json.encode(MarkText(price, index, funding, mark.next_funding_ms, mark.event_ms, mark.received_ms))


def decode_mark(symbol: str, blob: bytes) -> MarkPrice:
    try:
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
    except UNREADABLE as e:
        raise WireError("stored_mark", f"{symbol}: {e}") from e


def encode_volume(volume: QuoteVolume) -> bytes:
    return _json.encode(_StoredVolume(quote=plain(volume.quote_volume), t=volume.event_ms))


def decode_volume(symbol: str, blob: bytes) -> QuoteVolume:
    try:
        row = _volume.decode(blob)
        return QuoteVolume(symbol, non_negative(row.quote), row.t)
    except UNREADABLE as e:
        raise WireError("stored_volume", f"{symbol}: {e}") from e


def encode_reading(reading: Reading) -> bytes:
    oi = reading.open_interest
    mark = _text(reading.mark_price)
    return _json.encode(_StoredContracts(oi=plain(oi.open_interest), t=oi.changed_ms, at=oi.received_ms, mark=mark))


def decode_reading(symbol: str, blob: bytes) -> Reading:
    try:
        row = _contracts.decode(blob)
        return _reading(symbol, row.oi, row.t, row.at, row.mark)
    except UNREADABLE as e:
        raise WireError("stored_contracts", f"{symbol}: {e}") from e


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
    try:
        row = _member.decode(blob)
        volume = non_negative(row.quote_volume_24h)
        return Member(symbol, volume, from_iso(row.entered_at), from_iso(row.last_seen_at), row.onboard_date)
    except UNREADABLE as e:
        raise WireError("stored_universe", f"{symbol}: {e}") from e


def encode_served(served: Served) -> bytes:
    return _json.encode(_StoredServed(served.usd, served.since_ms, served.verdict))


def decode_served(key: str, blob: bytes) -> Served:
    try:
        row = _served.decode(blob)
    except UNREADABLE as e:
        raise WireError("stored_served", f"{key}: {e}") from e
    return Served(row.usd, row.since, row.verdict)


def _reading(symbol: str, oi: str, changed_ms: int, received_ms: int, mark: str | None) -> Reading:
    contracts = OpenInterest(symbol, non_negative(oi), changed_ms, received_ms)
    return Reading(contracts, None if mark is None else positive(mark))


def encode_sweep(sweep: Sweep) -> bytes:
    rows = {
        symbol: [plain(oi.open_interest), oi.changed_ms, oi.received_ms, _text(reading.mark_price)]
        for symbol, reading in sweep.readings.items()
        for oi in (reading.open_interest,)
    }
    packed: bytes = msgpack.packb(
        {
            "v": SWEEP_VERSION,
            "id": sweep.sweep_id,
            "start": sweep.started_ms,
            "end": sweep.ended_ms,
            "oi": rows,
            "failed": sweep.failures,
        }
    )
    return packed


class _PackedSweep(msgspec.Struct):
    v: int
    id: str
    start: int
    end: int
    oi: dict[str, tuple[str, int, int, str | None]]
    failed: dict[str, str]


def decode_sweep(blob: bytes) -> Sweep:
    try:
        document: Any = msgpack.unpackb(blob)
        packed = msgspec.convert(document, _PackedSweep)
        if packed.v != SWEEP_VERSION:
            raise ValueError(f"version {packed.v}, not {SWEEP_VERSION}")
    except (*UNREADABLE, TypeError, msgpack.UnpackException) as e:
        raise WireError("stored_sweep", str(e)) from e
    return _sweep(packed)


def _sweep(packed: _PackedSweep) -> Sweep:
    """A number that cannot be trusted costs only its symbol, which then counts as failed."""
    readings: dict[str, Reading] = {}
    failures = dict(packed.failed)
    for symbol, row in packed.oi.items():
        try:
            readings[symbol] = _reading(symbol, *row)
        except ValueError:
            failures[symbol] = "unreadable"
    return Sweep(packed.id, packed.start, packed.end, readings, failures)
