"""The backend's language: rows -> bodies, answers -> facts or one typed error. Pure.

A proxy may answer anything with any status: HTML with 200, a redirect to a sign-in page, a body that breaks off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple

import msgspec

from services.publisher.join import Record
from shared import edge, numbers
from shared import reply as replies
from shared.clock import iso
from shared.errors import UNREADABLE, RateLimited, Refused, Rejected, Transient, WireError
from shared.model import Member, backend_key
from shared.reply import Reply

SOURCE = "realtime"
UNREADABLE_S = 60.0  # of answers with nothing readable in them, before what is in doubt is looked for no longer
DEFAULT_429_S = 5.0
LONGEST_429_S = 3600.0
NUMBERS = (int, float)
NAMES = 5  # how many names or texts of a list go into one line
LONGEST_LINE, FRONT = 200, 60  # characters of such a text, and how many of them from its front
FAR = 4000


class Away(Transient):
    """The backend did not take it, for now; ``answered``: something there did answer."""

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class InDoubt(Away):
    """The backend may have taken it, or may still be at it: look before it is sent again."""

    def __init__(self, message: str, *, answered: bool, timed_out: bool = False, own: bool = False) -> None:
        super().__init__(message, answered=answered)
        self.timed_out = timed_out
        self.own = own  # a 500 in the backend's own words: it met an error, where a proxy knows nothing


class TooLarge(Rejected):
    """413: the same rows pass in smaller pieces."""


class Accepted(NamedTuple):
    """What the backend said it did with one POST; what it serves afterwards is another matter."""

    stored: int | None  # rows that its database took; None: it did not say
    refused: int  # rows that it named in its errors
    errors: str  # the first few of these texts
    status: int  # of HTTP


class Snapshot(NamedTuple):
    """What the backend serves: its spelling of each symbol -> USD, and the instant it claims for them."""

    values: dict[str, float]
    as_of_ms: int | None
    unreadable: Set[str] = frozenset()  # symbols served with what is no number
    cache_age_s: float | None = None  # of the answer, where a cache before the backend gave it


def encode_batch(rows: Sequence[Record], timestamp_ms: int, total: int) -> bytes:
    batch = {"data": rows, "timestamp": iso(timestamp_ms), "totalSymbols": total, "source": SOURCE}
    return msgspec.json.encode(batch)


def encode_universe(members: Iterable[Member], now_ms: int) -> bytes:
    symbols = [
        {
            "symbol": member.symbol,
            "quoteVolume24h": float(member.quote_volume),
            "enteredAt": iso(member.entered_ms),
            "lastSeenAt": iso(member.last_seen_ms),
        }
        for member in members
    ]
    return msgspec.json.encode({"symbols": symbols, "updatedAt": iso(now_ms)})


def failure(reply: Reply, now_ms: int, *, keyed: bool = True) -> Exception | None:
    """What an answer other than a good one means; None for a good one. ``keyed``: the request carried the key."""
    said = f"{reply.status} {replies.excerpt(reply.body)}".strip()
    if reply.status in {200, 201}:
        return None if replies.json_start(reply.body) else InDoubt(f"not JSON: {said}", answered=True)
    if reply.status == 429:
        wait_s = replies.retry_after_s(reply.headers, now_ms)
        return RateLimited(said, min(max(wait_s if wait_s is not None else DEFAULT_429_S, 0.1), LONGEST_429_S))
    if reply.status == 413:
        return TooLarge(said)
    if reply.status >= 500 or reply.status == 408:
        return InDoubt(said, answered=True, own=reply.status == 500 and _is_own(reply.body))
    if reply.status in {400, 422} and _is_own(reply.body):
        return Rejected(said)
    return Refused(f"{_refusal(reply, keyed)}: {said}")


def _is_own(body: bytes) -> bool:
    """Whether the backend itself speaks: its errors are JSON objects. A host or a proxy before it answers pages."""
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except UNREADABLE:
        return False


def _refusal(reply: Reply, keyed: bool) -> str:
    """What a person has to check when every request meets the same answer."""
    stopped = edge.wall(reply)
    if stopped:
        return f"{'a POST with the key' if keyed else 'the public GET'} is stopped by {stopped}"
    if 300 <= reply.status < 400:
        return "a redirect, which the key does not follow; check BACKEND_URL"
    if reply.status in {401, 403}:
        return (
            "the key is refused; check BACKEND_API_KEY against the backend's"
            if keyed
            else "the backend does not show it without a user's session"
        )
    if reply.status in {404, 405, 407, 451}:
        return "there is no such route; check BACKEND_URL"
    return "refused by what stands before the backend: its host or a proxy"


def decode_accepted(body: bytes, status: int) -> Accepted:
    """An older backend says less; whatever else is missing or odd here, the audit judges by what is served.

    Where its database refuses the rows it answers 200 all the same: ``success`` false, ``inserted`` 0.
    """
    document = _object(body, "ingest_answer")
    errors = document.get("errors")
    texts = errors if isinstance(errors, list) else []
    stored = _count(document.get("inserted"))
    if stored is None and document.get("success") is False:
        stored = 0
    return Accepted(stored, len(texts), "; ".join(_line(str(text)) for text in texts[:NAMES]), status)


def _line(text: str) -> str:
    """Fit for one line. The texts of its database begin with the call, on lines of its own, and end with the cause."""
    line = " ".join(text[:FAR].split())
    return line if len(line) <= LONGEST_LINE else f"{line[:FRONT]} … {line[FRONT + 3 - LONGEST_LINE :]}"


def decode_snapshot(body: bytes, cache_age_s: float | None = None) -> Snapshot:
    """The public endpoint's body. A number in quotes is one, as a decimal column leaves many APIs; what is none costs
    only its symbol.
    """
    document = _object(body, "served_body")
    data = document.get("data")
    if not isinstance(data, dict):
        raise WireError("served_body", "no data object")
    read = {backend_key(symbol): _number(value) for symbol, value in data.items()}
    values = {key: value for key, value in read.items() if value is not None}
    return Snapshot(values, _count(document.get("asOf")), read.keys() - values.keys(), cache_age_s)


def decode_universe(body: bytes) -> dict[str, str]:
    """The symbols the backend takes for the universe -> when it was last told of each, as it says."""
    return {backend_key(row["symbol"]): str(row.get("lastSeenAt")) for row in _rows(body, "symbols", "universe_body")}


def decode_alerts(body: bytes) -> list[dict[str, Any]]:
    return _rows(body, "alerts", "alerts_body")


def _rows(body: bytes, name: str, reason: str) -> list[dict[str, Any]]:
    rows = _object(body, reason).get(name)
    if not isinstance(rows, list):
        raise WireError(reason, f"no {name} list")
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("symbol"), str)]


def _object(body: bytes, reason: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError) as e:
        raise WireError(reason, f"{e}"[:160]) from e
    if not isinstance(document, dict):
        raise WireError(reason, "not an object")
    return document


def _number(value: Any) -> float | None:
    try:
        number = (
            float(numbers.finite(value)) if type(value) is str else float(value) if type(value) in NUMBERS else None
        )
    except (ValueError, OverflowError):  # the latter: an int with more digits than a float can hold
        return None
    return number if number is not None and math.isfinite(number) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
