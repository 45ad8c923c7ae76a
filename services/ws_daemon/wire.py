"""Stream frame -> rows, row -> fact; pure. The exchange's one-letter names stop here.

A row as it comes: ``{"e":"markPriceUpdate","E":1791383686000,"s":"BTCUSDT","p":"83134.61729710","ap":"83134.61729710",
"P":"83143.84436135","i":"83165.64673913","r":"0.00000253","T":1791388800000,"st":1}``. Rows are read by event type:
``p`` is the mark price here, and the 24 h price *change* in a ``24hrTicker``. Unknown fields are ignored; a field that
may be absent (``i``, ``r``, ``T``, ``st``) and cannot be read counts as absent, and is named.
"""

from __future__ import annotations

from collections.abc import Callable
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
_raw_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(Row)
_odd_row = msgspec.json.Decoder(_OddRow)
_text_or_none = msgspec.json.Decoder(str | None)
_integer = msgspec.json.Decoder(int, strict=False)  # a number in quotes is a number


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
        items = _raw_rows.decode(data) if data.lstrip()[:1] == b"[" else [msgspec.Raw(data)]
    except UNREADABLE as e:
        return Rows([], [WireError("not_a_frame", f"{e}: {_start(blob)}")])
    rows: list[Row] = []
    bad: list[WireError] = []
    for item in items:
        try:
            rows.append(_read_row(item, bad))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {_start(bytes(item))}"))
    return Rows(rows, bad)


def _read_row(item: msgspec.Raw, bad: list[WireError]) -> Row:
    try:
        return _row.decode(item)
    except UNREADABLE:
        odd = _odd_row.decode(item)
    row = Row(odd.e, odd.E, odd.s, odd.p, q=odd.q)
    row.i, row.r = (_optional(_text_or_none, raw, None, odd.s, bad) for raw in (odd.i, odd.r))
    row.T, row.st = _optional(_integer, odd.T, 0, odd.s, bad), _optional(_integer, odd.st, 1, odd.s, bad)
    return row


def _optional(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, absent: T, symbol: str, bad: list[WireError]) -> T:
    """A field that may be absent: one that cannot be read costs itself, and is named."""
    try:
        return decoder.decode(raw)
    except UNREADABLE as e:
        bad.append(WireError("odd_field", f"{symbol:.40}: {e} in {_start(bytes(raw))}"))
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


def _start(blob: bytes) -> str:
    return blob[:120].decode(errors="replace")


class _PremiumIndexRow(msgspec.Struct, rename="camel"):
    """``time`` is the same second for all crypto rows, delisted ones included: it does not prove a live contract."""

    symbol: str
    mark_price: str
    time: int
    index_price: msgspec.Raw = msgspec.Raw(b"null")
    last_funding_rate: msgspec.Raw = msgspec.Raw(b"null")
    next_funding_time: msgspec.Raw = msgspec.Raw(b"0")


class _TickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    quote_volume: str
    close_time: int


_premium_index_row = msgspec.json.Decoder(_PremiumIndexRow)
_ticker_row = msgspec.json.Decoder(_TickerRow)


def premium_index(body: bytes) -> Rows:
    """``GET /fapi/v1/premiumIndex`` as rows of the stream, so that both sources go one way from here."""

    def row(item: msgspec.Raw, bad: list[WireError]) -> Row:
        r = _premium_index_row.decode(item)
        texts = (r.index_price, r.last_funding_rate)
        index, rate = (_optional(_text_or_none, raw, None, r.symbol, bad) for raw in texts)
        next_funding = _optional(_integer, r.next_funding_time, 0, r.symbol, bad)
        return Row(MARK, r.time, r.symbol, r.mark_price, index, rate, next_funding)

    return _each(body, row)


def ticker_24h(body: bytes) -> Rows:
    """``GET /fapi/v1/ticker/24hr`` as mini-ticker rows: the stream never names a symbol that does not trade."""

    def row(item: msgspec.Raw, _: list[WireError]) -> Row:
        r = _ticker_row.decode(item)
        return Row(VOLUME, r.close_time, r.symbol, q=r.quote_volume)

    return _each(body, row)


def _each(body: bytes, read: Callable[[msgspec.Raw, list[WireError]], Row]) -> Rows:
    try:
        items = _raw_rows.decode(body)
    except UNREADABLE as e:
        raise WireError("not_a_list", f"{e}: {_start(body)}") from e
    rows: list[Row] = []
    bad: list[WireError] = []
    for item in items:
        try:
            rows.append(read(item, bad))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {_start(bytes(item))}"))
    return Rows(rows, bad)
