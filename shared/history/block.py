"""Rows of one series <-> one compressed block; pure.

Numbers become whole ones of a common scale, each column the differences from row to row, bytes of equal weight side by
side, which zlib then finds nearly empty. What does not fit 64 bits is packed as text. Nothing is rounded: a number
comes back equal, with as many decimals as the longest of its block.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgpack

from shared.errors import UNWRITABLE, WireError

COLUMNS, TEXT = 1, 2  # how a block is packed: its first byte
_HEAD = struct.Struct("<BIBB")  # how, rows, decimals of contracts, decimals of marks
_LIMIT = 1 << 62  # so that a difference fits 64 bits too
_ABSENT = -1  # in place of a mark price that was not known: none is negative


class Row(NamedTuple):
    """Open interest at one instant, in the exchange's own decimal text."""

    received_ms: int
    contracts: str
    mark: str | None  # None: there was no mark price
    ours: bool = True  # False: the exchange's own statistic, of an hour; its mark is that of its value


class Column:
    """Whole numbers of one scale, by the differences from one to the next: added up when one of them is asked for."""

    def __init__(self, decimals: int, steps: Sequence[int]) -> None:
        self.decimals = decimals
        self._steps = steps

    @cached_property
    def values(self) -> list[int]:
        return list(accumulate(self._steps))

    def text(self, i: int) -> str | None:
        value = self.values[i]
        if value == _ABSENT:
            return None
        digits = str(value).rjust(self.decimals + 1, "0")
        return f"{digits[: -self.decimals]}.{digits[-self.decimals :]}" if self.decimals else digits


class Block(Sequence[Row]):
    """Decoded times; each row becomes text when it is asked for."""

    def __init__(self, times: list[int], contracts: Column, marks: Column) -> None:
        self.times = times
        self._contracts = contracts
        self._marks = marks

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return Row(self.times[i], self._contracts.text(i) or "", self._marks.text(i))


def between(rows: Sequence[Row], from_ms: int, to_ms: int) -> Sequence[Row]:
    """Of rows, oldest first, those from one instant to another (excluded); no other becomes text."""
    times = _times(rows)
    return rows[bisect_left(times, from_ms) : bisect_left(times, to_ms)]


def nearest(rows: Sequence[Row], target_ms: int) -> Row | None:
    """Of rows, oldest first, the one nearest to an instant; of two as near, the older."""
    times = _times(rows)
    right = bisect_left(times, target_ms)
    near = [i for i in (right - 1, right) if 0 <= i < len(times)]
    return rows[min(near, key=lambda i: abs(times[i] - target_ms))] if near else None


def _times(rows: Sequence[Row]) -> list[int]:
    return rows.times if isinstance(rows, Block) else [row.received_ms for row in rows]


def encode(rows: Sequence[Row]) -> bytes:
    """``rows``: oldest first, numbers plain decimals and none negative."""
    contract_decimals, contracts = _column([row.contracts for row in rows])
    mark_decimals, marks = _column([row.mark for row in rows])
    if max(map(abs, (*contracts, *marks)), default=0) >= _LIMIT:
        packed: bytes = msgpack.packb([row[:3] for row in rows])
        return zlib.compress(bytes([TEXT]) + packed)
    columns = [[row.received_ms for row in rows], contracts, marks]
    flat = [value for column in columns for value in _differences(column)]
    packed = struct.pack(f"<{len(flat)}q", *flat)
    shuffled = b"".join(packed[byte::8] for byte in range(8))
    return zlib.compress(_HEAD.pack(COLUMNS, len(rows), contract_decimals, mark_decimals) + shuffled)


def decode(blob: bytes) -> Sequence[Row]:
    """Raises `WireError` where the block is not what `encode` made."""
    try:
        body = zlib.decompress(blob)
        if body[0] == TEXT:
            return [Row(*row) for row in msgpack.unpackb(body[1:])]
        return decode_columns(body)
    except (*UNWRITABLE, IndexError, struct.error, zlib.error, msgpack.UnpackException) as e:
        raise WireError("stored_block", f"{type(e).__name__}: {e}") from e


def decode_columns(body: bytes) -> Block:
    how, count, contract_decimals, mark_decimals = _HEAD.unpack_from(body)
    if how != COLUMNS or len(body) != _HEAD.size + 24 * count:
        raise ValueError(f"packed as {how}, {count} rows in {len(body)} bytes")
    each = bytearray(24 * count)
    for byte in range(8):
        each[byte::8] = body[_HEAD.size + byte * 3 * count : _HEAD.size + (byte + 1) * 3 * count]
    flat = struct.unpack(f"<{3 * count}q", each)
    times, contracts, marks = (flat[i * count : (i + 1) * count] for i in range(3))
    return Block(list(accumulate(times)), Column(contract_decimals, contracts), Column(mark_decimals, marks))


def _differences(values: Sequence[int]) -> list[int]:
    return [*values[:1], *(later - earlier for earlier, later in pairwise(values))]


def _column(texts: Sequence[str | None]) -> tuple[int, list[int]]:
    """Decimals of the least scale that rounds none of them, and they as whole numbers of it."""
    parts = [None if text is None else text.partition(".") for text in texts]
    decimals = max((len(part[2]) for part in parts if part), default=0)
    values = [_ABSENT if part is None else int(part[0] + part[2].ljust(decimals, "0")) for part in parts]
    return decimals, values
