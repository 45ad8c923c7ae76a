"""Snapshot -> statuses and bodies. Pure.

A value is given only while it may be relied on; else there is a `Problem` that says why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET, Struct, structs

from services.funding_api.bodies import (
    Connection,
    Funding,
    Health,
    Mark,
    OpenInterest,
    Problem,
    Refusal,
    Several,
    State,
)
from services.funding_api.snapshot import HASHES, Snapshot
from shared import model
from shared.clock import from_iso
from shared.model import MarkPrice
from shared.numbers import whole

MOST_SYMBOLS = 2000  # in one batch
SKEW_S = 10.0  # how far in the future a stamp may lie, by another machine's clock, before it is disbelieved
QUIET_S = 15.0  # marks come every second, or every few while the stream is replaced by REST


class Answer(NamedTuple):
    status: int
    body: Struct


Row = Funding | OpenInterest | Problem


def redis_away(cause: object) -> Answer:
    return Answer(503, Refusal(Problem("Data unavailable", cause=str(cause))))


def unhealthy(cause: object) -> Answer:
    """`Answers.health` where there is nothing to look at."""
    nothing = Answers(Snapshot([{}] * len(HASHES), lambda _: None), 0, 0.0).health()
    return Answer(503, structs.replace(nothing.body, error=str(cause)))


def parse_symbols(text: str) -> list[str]:
    """``symbols=``: comma-separated, in the order and as often as asked for."""
    return [name for part in text.split(",") if (name := part.strip().upper())]


def refuse_batch(symbols: Sequence[str]) -> Answer | None:
    if not symbols:
        return Answer(400, Refusal(Problem("No symbols provided")))
    if len(symbols) > MOST_SYMBOLS:
        return Answer(400, Refusal(Problem("Too many symbols", count=len(symbols), max_symbols=MOST_SYMBOLS)))
    return None


def pays_funding(mark: MarkPrice) -> bool:
    """Delivery and delisted contracts send a rate of 0 with no next time, or no rate: they pay none, which is not 0."""
    return mark.funding_rate is not None and mark.next_funding_ms > 0


def mark_fields(mark: MarkPrice) -> dict[str, Any]:
    """The fields of `Mark`, which `Funding` has too."""
    rate = mark.funding_rate if pays_funding(mark) else None
    return {
        "mark_price": float(mark.mark_price),
        "funding_rate": None if rate is None else float(rate),
        "next_funding_time": mark.next_funding_ms,
        "index_price": None if mark.index_price is None else float(mark.index_price),
        "updated_at": mark.received_ms / 1000,
    }


class Answers:
    """All that can be said of one snapshot at one instant."""

    def __init__(self, snapshot: Snapshot, now_ms: int, max_age_s: float) -> None:
        self._snapshot = snapshot
        self._now_ms = now_ms
        self._limit_s = int(max_age_s) if max_age_s.is_integer() else max_age_s

    def funding(self, symbol: str) -> Answer:
        return _single(self._funding(symbol.upper()))

    def funding_batch(self, symbols: Sequence[str]) -> Answer:
        return _several(self._funding, symbols)

    def funding_all(self) -> Answer:
        return _several(self._funding, sorted(self._snapshot.marks))

    def open_interest(self, symbol: str) -> Answer:
        return _single(self._open_interest(symbol.upper()))

    def open_interest_all(self) -> Answer:
        return _several(self._open_interest, sorted(self._snapshot.contracts))

    def state(self) -> State:
        """The old state file: every symbol whose mark is not stale, and how the stream is."""
        marks = [mark for mark in self._snapshot.marks.values() if not self._is_stale(mark.received_ms)]
        daemon = self._snapshot.daemon
        stream = Connection(
            connected=self._connected(),
            last_connected_time=_instant_s(daemon.get("lastConnected")),
            reconnect_attempts=whole(daemon.get("reconnectAttempts")) or 0,
            messages_received=whole(daemon.get("messagesReceived")) or 0,
            last_message_time=max((mark.received_ms / 1000 for mark in marks), default=None),
        )
        return State({mark.symbol: Mark(**mark_fields(mark)) for mark in marks}, stream, self._now_ms / 1000)

    def trouble(self) -> str | None:
        """Why these answers cannot be relied on, in one line; None while they can."""
        newest_s = min(self._ages(), default=None)
        if newest_s is None:
            return "there is no mark to go by in Redis: is ws_daemon running?"
        if newest_s > self._limit_s:
            return f"the newest mark is {newest_s:.1f} s old; the limit is {self._limit_s:g} s"
        if not self._connected() and newest_s > QUIET_S:
            return f"no stream is connected and the newest mark is {newest_s:.1f} s old"
        return None

    def health(self) -> Answer:
        """Of the data, not of this process: what it is that feeds ``oi:mark``, and how old it lets it become."""
        ages, daemon, trouble = self._ages(), self._snapshot.daemon, self.trouble()
        started_s, connected_s = _instant_s(daemon.get("started")), _instant_s(daemon.get("lastConnected"))
        lost_s = None if connected_s is None or self._connected() else self._now_ms / 1000 - connected_s
        body = Health(
            status="unhealthy" if trouble else "healthy",
            websocket_connected=self._connected(),
            symbol_count=len(self._snapshot.marks),
            uptime_seconds=None if started_s is None else round(max(0.0, self._now_ms / 1000 - started_s), 3),
            last_connected_time=connected_s,
            messages_received=whole(daemon.get("messagesReceived")),
            reconnect_attempts=whole(daemon.get("reconnectAttempts")),
            oldest_data_age_seconds=max(ages, default=None),
            newest_data_age_seconds=min(ages, default=None),
            disconnected_for_seconds=UNSET if lost_s is None else round(max(0.0, lost_s), 3),
        )
        return Answer(503, structs.replace(body, error=trouble)) if trouble else Answer(200, body)

    def _funding(self, symbol: str) -> Row:
        mark = self._snapshot.marks.get(symbol)
        if mark is None:
            return Problem("Symbol not found", symbol=symbol)
        if self._is_stale(mark.received_ms):
            return self._stale(mark.symbol, mark.received_ms)
        return Funding(**mark_fields(mark), symbol=mark.symbol, age_seconds=self._age_s(mark.received_ms))

    def _open_interest(self, symbol: str) -> Row:
        reading, mark = self._snapshot.contracts.get(symbol), self._snapshot.marks.get(symbol)
        if reading is None:
            return Problem("Symbol not found", symbol=symbol)
        oi = reading.open_interest
        if oi.open_interest == 0:  # a contract that trades has some: it is not published either
            return Problem("Open interest is zero", symbol=oi.symbol)
        if mark is None:
            return Problem("No mark price", symbol=oi.symbol)
        for received_ms in (oi.received_ms, mark.received_ms):
            if self._is_stale(received_ms):
                return self._stale(oi.symbol, received_ms)
        return self._open_interest_body(oi, mark)

    def _open_interest_body(self, oi: model.OpenInterest, mark: MarkPrice) -> OpenInterest:
        served = self._snapshot.served.get(model.backend_key(oi.symbol))
        return OpenInterest(
            symbol=oi.symbol,
            open_interest=float(oi.open_interest),
            open_interest_usd=float(model.notional(oi.open_interest, mark.mark_price)),
            mark_price=float(mark.mark_price),
            updated_at=oi.received_ms / 1000,
            age_seconds=self._age_s(oi.received_ms),
            mark_age_seconds=self._age_s(mark.received_ms),
            served_usd=served.usd if served else None,
            served_since=served.since_ms / 1000 if served else None,
            verdict=served.verdict if served else "unknown",
        )

    def _age_s(self, received_ms: int) -> float:
        age_s = (self._now_ms - received_ms) / 1000
        return 0.0 if -SKEW_S <= age_s < 0 else age_s

    def _is_stale(self, received_ms: int) -> bool:
        return not 0 <= self._age_s(received_ms) <= self._limit_s

    def _stale(self, symbol: str, received_ms: int) -> Problem:
        age_s = self._age_s(received_ms)
        return Problem("Data stale", symbol=symbol, age_seconds=age_s, max_age_seconds=self._limit_s)

    def _ages(self) -> list[float]:
        ages = [self._age_s(mark.received_ms) for mark in self._snapshot.marks.values()]
        return [age_s for age_s in ages if age_s >= 0]

    def _connected(self) -> bool:
        return bool(whole(self._snapshot.daemon.get("connections")))


def _single(row: Row) -> Answer:
    if not isinstance(row, Problem):
        return Answer(200, row)
    return Answer(404 if row.error == "Symbol not found" else 503, Refusal(row))


def _several(look: Callable[[str], Row], symbols: Iterable[str]) -> Answer:
    rows = [look(symbol) for symbol in symbols]
    found = sum(not isinstance(row, Problem) for row in rows)
    return Answer(200, Several(rows, found, len(rows) - found, len(rows)))


def _instant_s(text: str | None) -> float | None:
    try:
        return from_iso(text) / 1000 if text else None
    except ValueError:
        return None
