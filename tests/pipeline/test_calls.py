"""How many function calls a row costs in the pure middle of each service: a guard against slow code, without a clock.

Calls of Python and of C functions alike, by `sys.setprofile`. The bounds are half as much again as was counted when
they were set (in brackets); Python versions differ by less. A bound may be raised by who can say what the calls buy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from types import FrameType
from typing import Any

from services.publisher.join import Limits, join
from services.publisher.wire import encode_batch
from services.ws_daemon.latest import Latest
from shared import codec
from shared.venues.binance.frames import decode_frame
from tests.builders import NOW_MS, mark, reading, sweep

ROWS = 300
SYMBOLS = [f"S{n:03}USDT" for n in range(ROWS)]


def calls_a_row(work: Callable[[], object]) -> float:
    """Calls made by ``work``, for each of `ROWS`."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    work()  # what is done once, such as filling a cache, is not a row's
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count / ROWS


def frame(event_ms: int) -> bytes:
    row = {"e": "markPriceUpdate", "E": event_ms, "p": "93041.35202399", "i": "93010.0", "r": "0.0001", "T": NOW_MS}
    return json.dumps({"stream": "!markPrice@arr@1s", "data": [{**row, "s": symbol} for symbol in SYMBOLS]}).encode()


def test_a_mark_that_is_new() -> None:
    latest, frames = Latest(), iter([frame(NOW_MS), frame(NOW_MS + 1000)])
    assert calls_a_row(lambda: latest.merge(decode_frame(next(frames)), NOW_MS)) <= 15  # (10)


def test_a_mark_that_the_other_connection_brought_already() -> None:
    latest, blob = Latest(), frame(NOW_MS)
    assert calls_a_row(lambda: latest.merge(decode_frame(blob), NOW_MS)) <= 6  # (4)


def test_a_stored_mark_read() -> None:
    blob = codec.encode_mark(mark())
    assert calls_a_row(lambda: [codec.decode_mark(symbol, blob) for symbol in SYMBOLS]) <= 14  # (9)


def test_a_sweep_packed_and_unpacked() -> None:
    one = sweep(*(reading(symbol) for symbol in SYMBOLS))
    packed = codec.encode_sweep(one)
    assert calls_a_row(lambda: codec.encode_sweep(one)) <= 8  # (5)
    assert calls_a_row(lambda: codec.decode_sweep(packed)) <= 11  # (7)


def test_a_row_joined_and_encoded() -> None:
    one = sweep(*(reading(symbol) for symbol in SYMBOLS))
    marks = {symbol: mark(symbol, mark_price=Decimal("93041.35")) for symbol in SYMBOLS}
    books = join(one, marks, NOW_MS, Limits(15, 60), set(SYMBOLS))
    assert len(books.records) == ROWS
    assert calls_a_row(lambda: join(one, marks, NOW_MS, Limits(15, 60), set(SYMBOLS))) <= 51  # (34)
    assert calls_a_row(lambda: encode_batch(books.records, NOW_MS, ROWS)) <= 1  # (0)
