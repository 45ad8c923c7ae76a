"""What the publisher must know after a kill, as it stands in ``oi:publisher``. Pure.

What another version, or a hand with redis-cli, wrote there is taken for nothing: it is learned anew, and at worst a
batch goes out twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeVar, get_args

import msgspec

from services.publisher.join import FETCH_FAILED, LeftOut
from shared.errors import UNREADABLE
from shared.model import backend_key
from shared.sweeplog import BEGINNING, entry_order, read_entry_id

T = TypeVar("T")
Merges = Literal["yes", "no", "unknown"]


class Attempt(msgspec.Struct, frozen=True):
    """One batch in flight, outcome unknown: enough to tell later whether it arrived, and to close its books."""

    entry_id: str
    sweep_id: str
    batch_ms: int
    posted_ms: int
    patience_s: float  # how long the backend may still be at work on it, counted from posted_ms
    before_ms: int | None  # the asOf served before it
    sent: dict[str, float]  # the backend's spelling -> USD
    unsent: list[str]  # fit to be published, more than the backend takes
    left_out: dict[str, LeftOut]
    failed: list[str]
    received: dict[str, int] = {}  # the backend's spelling -> Unix ms at which the open interest in it was received
    posts: int = 1  # of this batch, that may have arrived; this one is among them

    @property
    def published(self) -> int:
        return len(self.sent) + len(self.unsent)

    @property
    def universe(self) -> int:
        return self.published + len(self.left_out) + len(self.failed)

    def universe_keys(self) -> set[str]:
        """The universe in the backend's spelling, without what has left it since the sweep."""
        others = [symbol for symbol, reason in self.left_out.items() if reason != "not_in_universe"]
        return self.sent.keys() | {backend_key(symbol) for symbol in (*others, *self.unsent, *self.failed)}

    def unpublished(self) -> dict[str, str]:
        """What ``oi:left_out`` is to hold: symbol -> reason."""
        return {**self.left_out, **dict.fromkeys(self.failed, FETCH_FAILED)}

    def reasons(self) -> dict[str, list[str]]:
        """Reason -> its symbols, `fetch_failed` included."""
        named: dict[str, list[str]] = {}
        for symbol, reason in self.unpublished().items():
            named.setdefault(reason, []).append(symbol)
        return named


class Kept(NamedTuple):
    """``oi:publisher``, decoded."""

    attempt: Attempt | None
    delivered_id: str  # the newest entry ever delivered
    waiting: list[str]  # entries taken and not delivered, oldest first
    doubted: set[str]  # of these, those that may have arrived
    max_rows: int  # most rows that one POST took; 0: no limit is known
    refused_rows: int
    refused_ms: int
    merges: Merges
    post_s: float
    duplicates: int
    sent: dict[str, list[float]]  # the backend's spelling -> the last values sent, oldest first


def decode_kept(stored: Mapping[bytes, bytes]) -> Kept:
    """The hash as Redis has it; empty before the first start."""
    fields = {name.decode(errors="replace"): value for name, value in stored.items()}
    max_rows, merges = int(_number(fields, "max_rows")), fields.get("merges", b"").decode(errors="replace")
    if "refused_rows" not in fields:  # an earlier version kept half of what was refused, and `replaces`
        fields["refused_rows"] = str(2 * max_rows).encode()
        fields["refused_ms"] = fields.get("max_rows_ms", b"0")
        merges = "no" if _number(fields, "replaces") == 1 else "unknown"
    attempt = _json(fields, "attempt", Attempt)
    is_sound = attempt and read_entry_id(attempt.entry_id.encode()) and attempt.posts > 0
    return Kept(
        attempt=attempt if is_sound else None,
        delivered_id=read_entry_id(fields.get("delivered")) or BEGINNING,
        waiting=sorted(_entry_ids(fields, "waiting"), key=entry_order),
        doubted=_entry_ids(fields, "doubted"),
        max_rows=max_rows,
        refused_rows=int(_number(fields, "refused_rows")),
        refused_ms=int(_number(fields, "refused_ms")),
        merges=next((word for word in get_args(Merges) if word == merges), "unknown"),
        post_s=_number(fields, "post_s"),
        duplicates=int(_number(fields, "duplicates")),
        sent=_json(fields, "sent", dict[str, list[float]]) or {},
    )


def _entry_ids(fields: Mapping[str, bytes], name: str) -> set[str]:
    return {entry_id for part in fields.get(name, b"").split() if (entry_id := read_entry_id(part))}


def _json(fields: Mapping[str, bytes], name: str, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(fields.get(name, b""), type=kind)
    except UNREADABLE:
        return None


def _number(fields: Mapping[str, bytes], name: str) -> float:
    try:
        value = float(fields.get(name, b"0"))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0
