"""Stream payloads in the venue's shapes, and the ways to spoil them: pure. Instants are Unix milliseconds."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from dev.exchange.universe import Contract
from dev.exchange.values import Day24h, Quote

Row = dict[str, Any]


def mark(q: Quote, event_ms: int) -> str:
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{q.symbol}","p":{q.mark},"ap":{q.mark},"P":{q.settle},"i":{q.index_price},'
        f'"r":{q.funding},"T":{q.next_funding_ms},"st":{2 if q.coin_m else 1}}}'
    )


def mini_ticker(c: Contract, d: Day24h, event_ms: int) -> str:
    return (
        f'{{"e":"24hrMiniTicker","E":{event_ms},"s":"{c.symbol}","ps":"{c.pair or c.symbol}","c":"{d.last}",'
        f'"o":"{d.open}","h":"{d.high}","l":"{d.low}","v":"{d.base_volume}",'
        f'"q":"{d.quote_volume}","st":{2 if c.coin_m else 1}}}'
    )


def ticker(c: Contract, d: Day24h, event_ms: int) -> str:
    opened = (d.close_ms - 86_400_000) // 60_000 * 60_000
    return (
        f'{{"e":"24hrTicker","E":{event_ms},"s":"{c.symbol}","ps":"{c.pair or c.symbol}","p":"{d.change}",'
        f'"P":"{d.percent}","w":"{d.average}","c":"{d.last}","Q":"{d.last_quantity}","o":"{d.open}","h":"{d.high}","l":"{d.low}",'
        f'"v":"{d.base_volume}","q":"{d.quote_volume}","O":{opened},"C":{d.close_ms},"F":{d.first_id},'
        f'"L":{d.first_id + d.trades - 1},"n":{d.trades},"st":{2 if c.coin_m else 1}}}'
    )


def share_of(symbol: str) -> float:
    """A place in 0..1 that is a symbol's own and stays the same: which symbols a half-mute silences."""
    return zlib.crc32(symbol.encode()) % 10_000 / 10_000


def _put(**fields: Any) -> Callable[[Row], None]:
    def spoil(row: Row) -> None:
        row.update(fields)

    return spoil


def _negative(row: Row) -> None:
    row["p"] = "-" + str(row["p"])


SPOILS: dict[str, Callable[[Row], object]] = {
    "missing_p": lambda row: row.pop("p", None),
    "nan": _put(p="NaN"),
    "negative": _negative,
    "zero": _put(p="0.00000000"),
    "empty_r": _put(r=""),
    "unknown_fields": _put(zz={"new": [1, 2, {"deep": None}]}, ps2="x", Ω=1.5),
    "ticker_event": _put(e="24hrTicker", p="-54.1500"),
}


def spoil(items: Iterable[str], kind: str, wanted: Callable[[str], bool]) -> list[str]:
    """The rows with one fault in those of the wanted symbols."""
    return [_spoil_one(item, kind, wanted) for item in items]


def _spoil_one(item: str, kind: str, wanted: Callable[[str], bool]) -> str:
    row = json.loads(item)
    if not wanted(row.get("s", "")):
        return item
    SPOILS[kind](row)
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


SPOILED_FRAMES = ("oversize", "truncated")


def spoil_frame(payload: bytes, kind: str) -> bytes:
    """A whole payload made wrong; ``oversize`` is valid JSON with one unknown field of 3 MiB in its first row."""
    if kind == "oversize":
        return payload.replace(b'{"e":', b'{"padding":"' + b"x" * (3 << 20) + b'","e":', 1)
    return payload[: len(payload) * 2 // 3].decode(errors="ignore").encode()
