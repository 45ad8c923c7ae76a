"""Stream frame -> rows, row -> fact; pure. The exchange's one-letter names stop here.

A row as it comes: ``{"e":"markPriceUpdate","E":1791383686000,"s":"BTCUSDT","p":"83134.61729710","ap":"83134.61729710",
"P":"83143.84436135","i":"83165.64673913","r":"0.00000253","T":1791388800000,"st":1}``. Rows are read by event type:
``p`` is the mark price here, and the 24 h price *change* in a ``24hrTicker``. Unknown fields are ignored; a field that
may be absent (``i``, ``r``, ``T``, ``st``) and cannot be read counts as absent, and is named.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import msgspec

from shared.codec import MarkText
from shared.errors import UNREADABLE, WireError
from shared.model import QuoteVolume, valid_symbol
from shared.numbers import LATEST_MS, are_plain, instant, non_negative, positive

MARK = "markPriceUpdate"
VOLUME = "24hrMiniTicker"
SHUTDOWN = "serverShutdown"
EARLIEST_MS = 1_000_000_000_000
COIN_M = 2  # ``st``: contracts of 100 or 10 USD, whose marks and volumes mean something else


T = TypeVar("T")


class Row(msgspec.Struct, gc=False):
    e: str
    E: int
    s: str = ""
    p: str | None = None
    i: str | None = None
    r: str | None = None
    T: int = 0
    q: str | None = None
    st: int = 1


class _OddRow(msgspec.Struct):
    """A `Row` of which only what must be there is looked at."""

    e: str
    E: int
    s: str = ""
    p: str | None = None
    q: str | None = None
    i: msgspec.Raw = msgspec.Raw(b"null")
    r: msgspec.Raw = msgspec.Raw(b"null")
    T: msgspec.Raw = msgspec.Raw(b"0")
    st: msgspec.Raw = msgspec.Raw(b"1")


class _Frame(msgspec.Struct):
    data: list[Row]


class _LooseFrame(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")
    event: msgspec.Raw = msgspec.Raw(b"")  # how notices such as ``serverShutdown`` come
    id: msgspec.Raw = msgspec.Raw(b"")


class Rows(NamedTuple):
    """What a frame held. ``bad`` names each row, or the whole frame, that could not be read."""

    rows: list[Row]
    bad: list[WireError]


_frame = msgspec.json.Decoder(_Frame)
_loose_frame = msgspec.json.Decoder(_LooseFrame)
raw_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(Row)
_odd_row = msgspec.json.Decoder(_OddRow)
text_or_none = msgspec.json.Decoder(str | None)
integer = msgspec.json.Decoder(int, strict=False)  # a number in quotes is a number


def decode_frame(blob: bytes) -> Rows:
    """Read a frame in one typed pass; only where that fails, row by row, so that a bad row costs only itself."""
    try:
        return Rows(_frame.decode(blob).data, [])
    except UNREADABLE:
        return _decode_loosely(blob)


def _decode_loosely(blob: bytes) -> Rows:
    data = blob
    try:
        if blob.lstrip()[:1] == b"{":
            frame = _loose_frame.decode(blob)
            data = bytes(frame.data) or bytes(frame.event)
            if not data and bytes(frame.id):
                return Rows([], [])  # the answer to a SUBSCRIBE, which proves nothing
            data = data or blob  # without ``data`` it may be one bare row
        items = raw_rows.decode(data) if data.lstrip()[:1] == b"[" else [msgspec.Raw(data)]
    except UNREADABLE as e:
        return Rows([], [WireError("not_a_frame", f"{e}: {start_of(blob)}")])
    rows: list[Row] = []
    bad: list[WireError] = []
    for item in items:
        try:
            rows.append(_read_row(item, bad))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {start_of(bytes(item))}"))
    return Rows(rows, bad)


def _read_row(item: msgspec.Raw, bad: list[WireError]) -> Row:
    try:
        return _row.decode(item)
    except UNREADABLE:
        odd = _odd_row.decode(item)
    row = Row(odd.e, odd.E, odd.s, odd.p, q=odd.q)
    row.i, row.r = (optional(text_or_none, raw, None, odd.s, bad) for raw in (odd.i, odd.r))
    row.T, row.st = optional(integer, odd.T, 0, odd.s, bad), optional(integer, odd.st, 1, odd.s, bad)
    return row


def optional(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, absent: T, symbol: str, bad: list[WireError]) -> T:
    """A field that may be absent: one that cannot be read costs itself, and is named."""
    try:
        return decoder.decode(raw)
    except UNREADABLE as e:
        bad.append(WireError("odd_field", f"{symbol:.40}: {e} in {start_of(bytes(raw))}"))
        return absent


def mark_price(row: Row, received_ms: int, bad: list[WireError]) -> MarkText:
    """The fact in a ``markPriceUpdate`` row, or `WireError`; checked, and left in the exchange's own text.

    Delivery contracts have sent an empty ``r``: they pay no funding, so the rate is None, not 0. An index price, a rate
    or a next funding time that makes no sense is None or 0 too, and goes to ``bad``.
    """
    try:
        valid_symbol(row.s)
        event_ms = _instant(row.E)
        if row.p is None or not are_plain(row.p, row.i, row.r) or not 0 <= row.T < LATEST_MS:
            positive(row.p)
            _drop_odd(row, bad)
        return MarkText(str(row.p), row.i or None, row.r or None, row.T, event_ms, received_ms)
    except UNREADABLE as e:
        raise WireError("bad_mark", f"{row.s:.40}: {e}") from e


def _drop_odd(row: Row, bad: list[WireError]) -> None:
    """Make absent what may be absent and is no plain decimal, or no instant."""
    for name in ("i", "r"):
        if getattr(row, name) and not are_plain("1", getattr(row, name), None):
            bad.append(WireError("odd_field", f"{row.s:.40}: {name}={getattr(row, name)!r:.40} is no plain decimal"))
            setattr(row, name, None)
    try:
        instant(row.T)
    except ValueError as e:
        bad.append(WireError("odd_field", f"{row.s:.40}: T: {e}"))
        row.T = 0


def quote_volume(row: Row) -> QuoteVolume:
    """The fact in a ``24hrMiniTicker`` row, or `WireError`."""
    try:
        return QuoteVolume(valid_symbol(row.s), non_negative(row.q), _instant(row.E))
    except UNREADABLE as e:
        raise WireError("bad_volume", f"{row.s:.40}: {e}") from e


def _instant(ms: int) -> int:
    """When an event was: never before 2001, which would be seconds."""
    if ms < EARLIEST_MS:
        raise ValueError(f"not Unix milliseconds: {ms}")
    return instant(ms)


def start_of(blob: bytes) -> str:
    return blob[:120].decode(errors="replace")
