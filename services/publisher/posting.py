"""Rows -> as few POSTs as the backend takes, each noted before it is sent.

One POST a batch. A backend that answers 413 gets halves, and the size is remembered for an hour. One that serves only
the last of several POSTs gets single ones; where its own limit forbids that, it gets the largest rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.publisher.attempt import Attempt, Kept
from services.publisher.backend import Backend
from services.publisher.join import Record
from services.publisher.metrics import Metrics
from services.publisher.outbox import Outbox
from services.publisher.wire import Away, InDoubt, TooLarge
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected
from shared.logs import EventLog

FORGET_MS = 3_600_000
log = EventLog("publisher")


class Sizes:
    """How many rows one POST may hold, and whether several POSTs make one batch."""

    def __init__(self, configured: int) -> None:
        self._configured = configured
        self._learned = 0
        self._learned_ms = 0
        self.replaces = False

    def recall(self, kept: Kept) -> None:
        self._learned, self._learned_ms, self.replaces = kept.max_rows, kept.max_rows_ms, kept.replaces

    def limit(self, now_ms: int) -> int:
        """Most rows of one POST; 0: no limit is known. A replacing backend is never sent pieces by choice."""
        learned = self._learned if now_ms - self._learned_ms < FORGET_MS else 0
        configured = 0 if self.replaces else self._configured
        return min((size for size in (configured, learned) if size), default=0)

    def shrink(self, rows: int, now_ms: int) -> int:
        if rows <= 1:
            raise Refused("the backend answers 413 to a single row; check the body limit of what stands before it")
        self._learned, self._learned_ms = (rows + 1) // 2, now_ms
        return self._learned

    def choose(self, rows: Sequence[Record], now_ms: int) -> Sequence[Record]:
        """All rows, or, of rows in ascending order of notional, the largest that fit into one POST."""
        limit = self.limit(now_ms)
        return rows[-limit:] if self.replaces and limit else rows


class Posted(NamedTuple):
    attempt: Attempt
    chunks: list[set[str]]  # in the order they were sent
    took_s: float
    status: int  # of HTTP, the last piece's answer


class Poster:
    def __init__(
        self, backend: Backend, outbox: Outbox, sizes: Sizes, metrics: Metrics, clock: Clock, *, funding: bool
    ) -> None:
        self._backend = backend
        self._outbox = outbox
        self._sizes = sizes
        self._metrics = metrics
        self._clock = clock
        self._funding = funding
        self._status = 0

    async def post(self, rows: Sequence[Record], note: Callable[[Sequence[Record]], Attempt], *, again: bool) -> Posted:
        """Send the batch; ``note`` makes the record of an attempt for the rows chosen."""
        while True:
            chosen = self._sizes.choose(rows, self._clock.now_ms())
            attempt = note(chosen)
            await self._outbox.begin(attempt, again=again)
            if again:
                self._metrics.duplicates.inc()
                again = False  # one batch again is counted once, however many pieces it takes
            begun_s = self._clock.monotonic_s()
            chunks = await self._in_pieces(chosen, attempt)
            if chunks:
                return Posted(attempt, chunks, self._clock.monotonic_s() - begun_s, self._status)

    async def _in_pieces(self, rows: Sequence[Record], attempt: Attempt) -> list[set[str]]:
        """The pieces as they were taken; none when the first was too large and the choice has to be made anew."""
        chunks: list[set[str]] = []
        rest = rows
        while rest:
            size = self._sizes.limit(self._clock.now_ms()) or len(rest)
            try:
                await self._ingest(rest[:size], attempt, total=len(rows))
            except TooLarge as e:
                await self._shrink(len(rest[:size]), e)
                if not chunks:
                    return []
                continue
            chunks.append({row.symbol for row in rest[:size]})
            rest = rest[size:]
        return chunks

    async def _shrink(self, rows: int, error: TooLarge) -> None:
        now_ms = self._clock.now_ms()
        size = self._sizes.shrink(rows, now_ms)
        log.warning("the backend takes smaller batches only", refused=rows, trying=size, error=str(error))
        await self._outbox.learn(max_rows=size, max_rows_ms=now_ms)

    async def _ingest(self, rows: Sequence[Record], attempt: Attempt, total: int) -> None:
        begun_s = self._clock.monotonic_s()
        outcome = "in_doubt"
        try:
            accepted = await self._backend.ingest(rows, attempt.batch_ms, total, funding=self._funding)
            outcome = "accepted"
            self._status = accepted.status
        except (Away, RateLimited, Refused, Rejected) as e:
            outcome = outcome_of(e)
            if not isinstance(e, InDoubt):
                await self._outbox.withdraw()
            raise
        finally:
            self._metrics.posts.labels(outcome).inc()
            self._metrics.post_duration.observe(self._clock.monotonic_s() - begun_s)
        if accepted.errors:
            self._metrics.rejected_rows.inc(len(accepted.errors))
            log.warning("the backend refused rows", sweep=attempt.sweep_id, errors="; ".join(accepted.errors))


def outcome_of(error: Exception) -> str:
    names = {"InDoubt": "in_doubt", "TooLarge": "too_large", "RateLimited": "rate_limited"}
    return names.get(type(error).__name__, type(error).__name__.lower())
