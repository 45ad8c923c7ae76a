"""Sweeps -> batches: order, backlog, acknowledgement.

One loop, and all it knows stands in Redis: whatever goes wrong, it starts again from there. A round ends with the
newest sweep, so that what is served is never older than a cycle for longer than one burst of late ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from services.publisher.attempt import Attempt, Kept
from services.publisher.audit import Audit, Ledger
from services.publisher.backend import Backend
from services.publisher.join import Books, Limits, Record, join, own_marks
from services.publisher.metrics import Metrics
from services.publisher.outbox import Lost, Outbox, Pending, entry_time
from services.publisher.posting import Poster, Sizes
from services.publisher.proof import Note, Prover
from services.publisher.report import Proof, Report, shortfall
from services.publisher.settings import Settings
from services.publisher.wire import Away, InDoubt
from shared.backoff import Backoff
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.model import Sweep, backend_key
from shared.runner import Service
from shared.store import MARKS, UNIVERSE
from shared.sweeplog import Entry, entry_order

BURST_S = 5.0
REFUSALS = 3  # of one batch, before it counts as undeliverable
FIRST_RETRY_S = 0.5
REDIS_RETRY_S = 2.0
LAST_MS = 4_102_444_800_000  # the year 2100: beyond it a stamp is a mistake, and soon none that a calendar can show
log = EventLog("publisher")


class Delivery:
    def __init__(
        self,
        settings: Settings,
        service: Service,
        backend: Backend,
        outbox: Outbox,
        ledger: Ledger,
        report: Report,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._redis = service.redis
        self._health = service.health
        self._clock = clock = service.clock
        self._backend = backend
        self._metrics = metrics
        self._limits = Limits(settings.mark_max_age_s, settings.oi_max_age_s)
        self._outbox = outbox
        self._ledger = ledger
        self._sizes = sizes = Sizes(settings.max_rows)
        self._report = report
        poster = Poster(backend, outbox, sizes, metrics, clock, funding=settings.send_funding)
        self._prover = Prover(backend, poster, sizes, outbox, ledger, report, clock, audit=settings.audit)
        self._backoff = Backoff(min(FIRST_RETRY_S, settings.retry_max_s), settings.retry_max_s)
        self._redis_backoff = Backoff(0.1, REDIS_RETRY_S)
        self._post_s = 0.0  # how long the last POST took
        self._refusals: dict[str, int] = {}
        self._landed_s = clock.monotonic_s()

    async def run(self) -> NoReturn:
        started = False
        while True:
            try:
                if not started:
                    await self._start()
                    started = True
                await self._round()
            except (Transient, Refused, Rejected) as e:
                wait_s = self._trouble(e)
                self._health.quiet(wait_s)
                await self._clock.sleep(wait_s)

    def _trouble(self, error: Exception) -> float:
        """Say what is wrong, and for how long to wait."""
        if isinstance(error, RateLimited):
            self._report.trouble("the backend asks for quiet (429)", error, retry_s=error.retry_after_s)
            return error.retry_after_s or self._backoff.next_s()
        if isinstance(error, Transient) and not isinstance(error, Away):
            self._report.trouble("waiting for Redis", error)
            return self._redis_backoff.next_s()
        wait_s = self._backoff.next_s()
        what = "the backend is away; sweeps wait in oi:sweeps"
        if isinstance(error, Refused | Rejected):
            what = "the backend refuses everything" if isinstance(error, Refused) else "the backend refuses the batch"
        elif isinstance(error, InDoubt):
            what = "the backend left open whether it took the batch; looking before posting again"
        self._report.trouble(what, error, backend=self._backend.origin, retry_s=wait_s)
        return wait_s

    async def _start(self) -> None:
        """Take up what an earlier process left: its attempt, its sizes, its counts, what it saw served."""
        lost = await self._outbox.open()
        kept = await self._outbox.recall()
        self._ledger.recall(await self._outbox.last_served())
        self._sizes.recall(kept)
        self._post_s = kept.post_s
        if kept.attempt:
            self._ledger.add_sent(kept.attempt.sent)
        await self._prover.first_look()
        self._metrics.duplicates.inc(kept.duplicates)
        if lost:
            self._count_lost(lost, "retention")

    async def _round(self) -> None:
        """One burst: the late sweeps, oldest first, for a few seconds; then the newest."""
        pending, kept = await self._look_around(block=True)
        self._redis_backoff.reset()
        if kept.attempt:
            await self._settle(kept.attempt, pending)
            pending, kept = await self._look_around(block=False)
        until_s = self._clock.monotonic_s() + BURST_S
        late = False
        while _has_news(pending, kept):
            entry = await self._outbox.oldest()
            if entry is None:
                return
            if late and self._clock.monotonic_s() + self._post_s > until_s:
                entry = await self._outbox.load(pending.newest_id)  # those between wait for the next burst
            late = entry.entry_id != pending.newest_id
            await self._deliver(entry, pending, kept, late=late)
            if not late:
                return
            pending, kept = await self._look_around(block=False)

    async def _look_around(self, *, block: bool) -> tuple[Pending, Kept]:
        pending = await self._outbox.collect(block=block)
        kept = await self._outbox.recall()
        silent_s = self._clock.monotonic_s() - self._landed_s
        if _has_news(pending, kept):
            self._landed_s += silent_s
        elif silent_s > self._settings.verified_max_age_s:
            self._report.silence(silent_s)
        self._report.backlog(pending.sweeps)
        return pending, kept

    async def _settle(self, attempt: Attempt, pending: Pending) -> None:
        """An earlier POST of unknown outcome: look for it before anything else is posted."""
        proof = await self._prover.find(attempt)
        patient = self._settings.audit and self._clock.now_ms() < attempt.posted_ms + attempt.patience_s * 1000
        if proof:
            await self._finish(proof, pending, late=attempt.entry_id != pending.newest_id)
        elif patient:
            raise InDoubt(f"sweep {attempt.sweep_id} is not served yet", answered=True)
        else:
            await self._outbox.doubt(attempt.entry_id)

    async def _deliver(self, entry: Entry, pending: Pending, kept: Kept, *, late: bool) -> None:
        sweep = entry.sweep
        if isinstance(sweep, WireError) or not 0 < sweep.ended_ms < LAST_MS:
            trimmed = isinstance(sweep, WireError) and sweep.reason == "trimmed_sweep"
            await self._lose(entry.entry_id, "retention" if trimmed else "unreadable", entry_time(entry.entry_id))
            return
        books = await self._join(sweep, late)
        rows = sorted(books.records, key=lambda row: row.notional)
        note = self._noting(entry.entry_id, sweep, books)
        pieces = len(rows) // (self._sizes.limit(self._clock.now_ms()) or len(rows) + 1)
        self._health.quiet((2 + pieces) * self._settings.timeout_s)  # each of them may take as long as that
        try:
            proof = await self._prove(rows, note, again=entry.entry_id in kept.doubtful)
        except InDoubt as e:
            if e.timed_out:  # it may be at work on it for as long again
                await self._outbox.be_patient(2 * self._settings.timeout_s)
            raise
        except Rejected as e:
            await self._refused(entry.entry_id, sweep, e)
        else:
            await self._finish(proof, pending, late=late)

    async def _prove(self, rows: Sequence[Record], note: Note, *, again: bool) -> Proof:
        if not rows:
            nothing = Audit("PARTIAL", 0)
            return Proof(note([]), nothing, None, shortfall(nothing, 0))
        proof = await self._prover.post(rows, note, again=again)
        self._backoff.reset()
        self._post_s = proof.post_s
        return proof

    async def _join(self, sweep: Sweep, late: bool) -> Books:
        """The newest sweep meets the freshest marks, while they are of one time; any other the marks of its own."""
        now_ms = self._clock.now_ms()
        if late or now_ms - sweep.ended_ms > self._limits.mark_max_age_s * 1000:
            books = join(sweep, own_marks(sweep), sweep.ended_ms, self._limits)
        else:
            marks = await MARKS.all(self._redis, self._metrics.bad_in_redis, sweep.universe())
            books = join(sweep, marks, now_ms, self._limits, await UNIVERSE.symbols(self._redis))
        self._metrics.unaccounted.set(books.unaccounted)
        if books.unaccounted:
            log.error("the books do not close", sweep=sweep.sweep_id, unaccounted=books.unaccounted)
        return books

    def _noting(self, entry_id: str, sweep: Sweep, books: Books) -> Note:
        def note(rows: Sequence[Record]) -> Attempt:
            chosen = {row.symbol for row in rows}
            return Attempt(
                entry_id=entry_id,
                sweep_id=sweep.sweep_id,
                batch_ms=sweep.ended_ms,
                posted_ms=self._clock.now_ms(),
                patience_s=0.5 + 2 * self._post_s,
                before_ms=self._prover.before_ms,
                sent={backend_key(row.symbol): row.notional for row in rows},
                unsent=[row.symbol for row in books.records if row.symbol not in chosen],
                left_out=books.left_out,
                failed=sorted(books.failed),
                received={
                    backend_key(row.symbol): sweep.readings[row.symbol].open_interest.received_ms for row in rows
                },
            )

        return note

    async def _finish(self, proof: Proof, pending: Pending, *, late: bool) -> None:
        await self._outbox.finish(proof.attempt.entry_id, self._post_s, proof.post_status)
        self._refusals.clear()
        await self._report.cycle(proof, late=late, backlog=pending.sweeps - 1)

    async def _refused(self, entry_id: str, sweep: Sweep, error: Rejected) -> None:
        """400 for this very batch: tried a few times, in case it was a mistake, then dropped, counted and named."""
        self._refusals[entry_id] = self._refusals.get(entry_id, 0) + 1
        if self._refusals[entry_id] < REFUSALS:
            raise error
        del self._refusals[entry_id]
        await self._lose(entry_id, "refused", sweep.sweep_id, error=str(error))

    async def _lose(self, entry_id: str, cause: str, name: str, **facts: object) -> None:
        await self._outbox.give_up(entry_id)
        self._count_lost(Lost(1, name, name), cause, **facts)

    def _count_lost(self, lost: Lost, cause: str, **facts: object) -> None:
        self._metrics.lost.labels(cause).inc(lost.sweeps)
        log.error("sweeps lost", count=lost.sweeps, cause=cause, first=lost.first, last=lost.last, **facts)


def _has_news(pending: Pending, kept: Kept) -> bool:
    """Whether a sweep newer than all that was delivered waits: the one a burst may end with."""
    return entry_order(pending.newest_id) > entry_order(kept.delivered_id)
