"""Stream frame -> rows, row -> fact; pure. The exchange's one-letter names stop here.

A row as it comes: ``{"e":"markPriceUpdate","E":1791383686000,"s":"BTCUSDT","p":"83134.61729710","ap":"83134.61729710",
"P":"83143.84436135","i":"83165.64673913","r":"0.00000253","T":1791388800000,"st":1}``. Rows are read by event type:
``p`` is the mark price here, and the 24 h price *change* in a ``24hrTicker``. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from shared.codec import MarkText
from shared.errors import UNREADABLE, WireError
from shared.model import QuoteVolume, valid_symbol
from shared.numbers import are_plain, non_negative

MARK = "markPriceUpdate"
VOLUME = "24hrMiniTicker"
SHUTDOWN = "serverShutdown"
COIN_M = 2  # ``st``: contracts of 100 or 10 USD, whose marks and volumes mean something else


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
            rows.append(_row.decode(item))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {_start(bytes(item))}"))
    return Rows(rows, bad)


def mark_price(row: Row, received_ms: int) -> MarkText:
    """The fact in a ``markPriceUpdate`` row, or `WireError`; checked, and left in the exchange's own text.

    Delivery contracts have sent an empty ``r``: they pay no funding, so the rate is None, not 0.
    """
    try:
        valid_symbol(row.s)
        if row.p is None or not are_plain(row.p, row.i, row.r):
            raise ValueError(f"p={row.p!r:.40} i={row.i!r:.40} r={row.r!r:.40}: not a price above 0 and plain decimals")
        return MarkText(row.p, row.i or None, row.r or None, row.T, _instant(row.E), received_ms)
    except UNREADABLE as e:
        raise WireError("bad_mark", f"{row.s:.40}: {e}") from e


def quote_volume(row: Row) -> QuoteVolume:
    """The fact in a ``24hrMiniTicker`` row, or `WireError`."""
    try:
        return QuoteVolume(valid_symbol(row.s), non_negative(row.q), _instant(row.E))
    except UNREADABLE as e:
        raise WireError("bad_volume", f"{row.s:.40}: {e}") from e


def _instant(ms: int) -> int:
    if not 1_000_000_000_000 <= ms < 10_000_000_000_000:
        raise ValueError(f"not Unix milliseconds: {ms}")
    return ms


def _start(blob: bytes) -> str:
    return blob[:120].decode(errors="replace")


class _PremiumIndexRow(msgspec.Struct, rename="camel"):
    """``time`` is the same second for all crypto rows, delisted ones included: it does not prove a live contract."""

    symbol: str
    mark_price: str
    time: int
    index_price: str | None = None
    last_funding_rate: str | None = None
    next_funding_time: int = 0


class _TickerRow(msgspec.Struct, rename="camel"):
    symbol: str
    quote_volume: str
    close_time: int


_premium_index_row = msgspec.json.Decoder(_PremiumIndexRow)
_ticker_row = msgspec.json.Decoder(_TickerRow)


def premium_index(body: bytes) -> Rows:
    """``GET /fapi/v1/premiumIndex`` as rows of the stream, so that both sources go one way from here."""

    def row(item: msgspec.Raw) -> Row:
        r = _premium_index_row.decode(item)
        return Row(MARK, r.time, r.symbol, r.mark_price, r.index_price, r.last_funding_rate, r.next_funding_time)

    return _each(body, row)


def ticker_24h(body: bytes) -> Rows:
    """``GET /fapi/v1/ticker/24hr`` as mini-ticker rows: the stream never names a symbol that does not trade."""

    def row(item: msgspec.Raw) -> Row:
        r = _ticker_row.decode(item)
        return Row(VOLUME, r.close_time, r.symbol, q=r.quote_volume)

    return _each(body, row)


def _each(body: bytes, read: Callable[[msgspec.Raw], Row]) -> Rows:
    try:
        items = _raw_rows.decode(body)
    except UNREADABLE as e:
        raise WireError("not_a_list", f"{e}: {_start(body)}") from e
    rows: list[Row] = []
    bad: list[WireError] = []
    for item in items:
        try:
            rows.append(read(item))
        except UNREADABLE as e:
            bad.append(WireError("bad_row", f"{e}: {_start(bytes(item))}"))
    return Rows(rows, bad)
