"""Sweeps -> batches, each proved: order, backlog, acknowledgement.

One loop, and all it knows stands in Redis: whatever goes wrong, it starts again from there. A round ends with the
newest sweep, so that what is served is never older than a cycle for longer than one burst of late ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from redis.asyncio import Redis

from services.publisher import audit as audits
from services.publisher.audit import Audit, Ledger
from services.publisher.backend import Backend
from services.publisher.join import Books, Limits, Record, backend_key, join, own_marks
from services.publisher.metrics import Metrics
from services.publisher.outbox import Attempt, Kept, Lost, Outbox, Pending, entry_order, entry_time
from services.publisher.posting import Posted, Poster, Sizes, log
from services.publisher.report import Cycle, Report, shortfall
from services.publisher.settings import Settings
from services.publisher.wire import Away, InDoubt, Snapshot
from shared.backoff import Backoff
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.model import Sweep
from shared.runner import Service
from shared.store import MARKS, UNIVERSE
from shared.sweeplog import Entry

BURST_S = 5.0
REPOSTS = 3  # of batches that were accepted and are not served, in a row; then one POST a sweep
LOOKS = 10  # answers without anything readable in them, before an attempt in doubt is given up and posted again
REFUSALS = 3  # of one batch, before it counts as undeliverable
REDIS_RETRY_S = 2.0


class Delivery:
    def __init__(self, settings: Settings, service: Service, backend: Backend, metrics: Metrics) -> None:
        self._settings = settings
        self._redis: Redis = service.redis
        self._clock = service.clock
        self._backend = backend
        self._metrics = metrics
        self._limits = Limits(settings.mark_max_age_s, settings.oi_max_age_s)
        self._outbox = Outbox(service.redis)
        self._ledger = Ledger()
        self._report = Report(service, self._outbox, self._ledger, metrics)
        self._sizes = Sizes(settings.max_rows)
        self._poster = Poster(backend, self._outbox, self._sizes, metrics, self._clock, funding=settings.send_funding)
        self._backoff = Backoff(min(0.5, settings.retry_max_s), settings.retry_max_s)
        self._redis_backoff = Backoff(0.1, REDIS_RETRY_S)
        self._before_ms: int | None = None  # the asOf last seen served
        self._post_s = 0.0
        self._reposts = 0
        self._looks = 0
        self._refusals: dict[str, int] = {}
        self._landed_s = self._clock.monotonic_s()
        self._open = False

    async def run(self) -> NoReturn:
        while True:
            try:
                if not self._open:
                    await self._start()
                await self._round()
            except (Transient, Refused, Rejected) as e:
                await self._clock.sleep(self._trouble(e))

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
        if lost:
            self._count_lost(lost, "retention")
        kept = await self._outbox.recall()
        self._sizes.recall(kept)
        self._post_s = kept.post_s
        self._metrics.duplicates.inc(kept.duplicates)
        self._ledger.recall(await self._outbox.last_served())
        if kept.attempt:
            self._ledger.add_sent(kept.attempt.sent)
        if self._settings.audit:
            await self._first_look()
        self._open = True

    async def _first_look(self) -> None:
        """Whatever is served before our first batch was left by others before us: known, and not foreign."""
        try:
            snapshot = await self._backend.read_served()
        except (Transient, Refused, Rejected, WireError) as e:
            self._report.complain("nothing to read back at the start", e, backend=self._backend.origin)
            return
        self._before_ms = snapshot.as_of_ms
        if self._ledger.empty:
            self._ledger.adopt(snapshot.values, self._clock.now_ms())

    async def _round(self) -> None:
        """One burst: the late sweeps, oldest first, for a few seconds; then the newest."""
        pending, kept = await self._look_around(block=True)
        self._redis_backoff.reset()
        if kept.attempt:
            await self._settle(kept.attempt, pending)
            pending, kept = await self._look_around(block=False)
        until_s = self._clock.monotonic_s() + BURST_S
        posts = 0
        while entry_order(pending.newest_id) > entry_order(kept.delivered_id):
            entry = await self._outbox.oldest()
            if entry is None:
                return
            spent = self._clock.monotonic_s() + self._post_s > until_s and posts > 0
            if spent or entry.entry_id == pending.newest_id:
                await self._deliver(await self._outbox.load(pending.newest_id), pending, kept, late=False)
                return
            await self._deliver(entry, pending, kept, late=True)
            posts += 1
            pending, kept = await self._look_around(block=False)

    async def _look_around(self, *, block: bool) -> tuple[Pending, Kept]:
        pending = await self._outbox.collect(block=block)
        kept = await self._outbox.recall()
        now_s = self._clock.monotonic_s()
        if entry_order(pending.newest_id) > entry_order(kept.delivered_id):
            self._landed_s = now_s
        elif now_s - self._landed_s > self._settings.verified_max_age_s:
            self._report.silence(now_s - self._landed_s)
        self._report.backlog(pending.sweeps)
        return pending, kept

    async def _settle(self, attempt: Attempt, pending: Pending) -> None:
        """An earlier POST of unknown outcome: look for it before anything else is posted."""
        snapshot = await self._look() if self._settings.audit else None
        now_ms = self._clock.now_ms()
        if snapshot and audits.was_taken(attempt.as_sent, snapshot, now_ms):
            result = audits.audit(attempt.as_sent, snapshot, attempt.universe_keys(), self._ledger, now_ms)
            late = attempt.entry_id != pending.newest_id
            why = "; ".join(
                filter(None, ("found served after an unclear answer", shortfall(result, len(attempt.sent))))
            )
            await self._finish(Cycle(attempt, result, snapshot, why, late, 0.0, pending.sweeps - 1))
        elif self._settings.audit and now_ms < attempt.posted_ms + attempt.patience_s * 1000:
            raise InDoubt(f"sweep {attempt.sweep_id} is not served yet", answered=True)
        else:
            await self._outbox.doubt(attempt.entry_id)
        self._looks = 0

    async def _look(self) -> Snapshot | None:
        """What is served; None when the backend answers, and again and again with nothing that can be read."""
        try:
            return await self._backend.read_served()
        except RateLimited:
            raise
        except (Away, Refused, Rejected, WireError) as e:
            self._looks += not isinstance(e, Away) or e.answered
            if self._looks < LOOKS:
                raise Away(f"cannot look whether it took the batch: {e}", answered=True) from e
            return None

    async def _deliver(self, entry: Entry, pending: Pending, kept: Kept, *, late: bool) -> None:
        sweep = entry.sweep
        if isinstance(sweep, WireError):
            cause = "retention" if sweep.reason == "trimmed_sweep" else "unreadable"
            await self._lose(entry.entry_id, cause, entry_time(entry.entry_id))
            return
        books = await self._join(sweep, late)
        rows = sorted(books.records, key=lambda row: row.notional)
        note = self._noting(entry.entry_id, sweep, books)
        backlog = pending.sweeps - 1
        if not rows:
            result = Audit("PARTIAL", 0)
            await self._finish(Cycle(note([]), result, None, shortfall(result, 0), late, 0.0, backlog))
            return
        try:
            posted, result, snapshot, why = await self._prove(rows, note, again=entry.entry_id in kept.doubtful)
        except InDoubt as e:
            if e.timed_out:  # it may be at work on it for as long again
                await self._outbox.be_patient(2 * self._settings.timeout_s)
            raise
        except Rejected as e:
            await self._refused(entry.entry_id, sweep, e)
            return
        await self._finish(Cycle(posted.attempt, result, snapshot, why, late, posted.took_s, backlog))

    async def _join(self, sweep: Sweep, late: bool) -> Books:
        """The newest sweep meets the freshest marks, while they are of one time; any other the marks of its own."""
        now_ms = self._clock.now_ms()
        if late or now_ms - sweep.ended_ms > self._limits.mark_max_age_s * 1000:
            books = join(sweep, own_marks(sweep), sweep.ended_ms, self._limits)
        else:
            marks = await MARKS.all(self._redis, self._bad_row)
            members = await UNIVERSE.all(self._redis, self._bad_row)
            books = join(sweep, marks, now_ms, self._limits, members.keys())
        self._metrics.unaccounted.set(books.unaccounted)
        if books.unaccounted:
            log.error("the books do not close", sweep=sweep.sweep_id, unaccounted=books.unaccounted)
        return books

    def _bad_row(self, error: WireError) -> None:
        self._metrics.bad_rows.labels("redis", error.reason).inc()
        self._report.complain(f"bad row in Redis: {error.reason}", error)

    def _noting(self, entry_id: str, sweep: Sweep, books: Books) -> Callable[[Sequence[Record]], Attempt]:
        def note(rows: Sequence[Record]) -> Attempt:
            chosen = {row.symbol for row in rows}
            return Attempt(
                entry_id=entry_id,
                sweep_id=sweep.sweep_id,
                batch_ms=sweep.ended_ms,
                posted_ms=self._clock.now_ms(),
                patience_s=0.5 + 2 * self._post_s,
                before_ms=self._before_ms,
                sent={backend_key(row.symbol): row.notional for row in rows},
                unsent=[row.symbol for row in books.records if row.symbol not in chosen],
                left_out=books.left_out,
                failed=sorted(books.failed),
            )

        return note

    async def _prove(
        self, rows: Sequence[Record], note: Callable[[Sequence[Record]], Attempt], *, again: bool
    ) -> tuple[Posted, Audit, Snapshot | None, str]:
        """Post and compare, and post again where that can heal it."""
        while True:
            posted = await self._poster.post(rows, note, again=again)
            self._backoff.reset()
            self._ledger.add_sent(posted.attempt.sent)
            result, snapshot, why = await self._audit(posted.attempt)
            again = True
            if audits.is_replaced([{backend_key(s) for s in chunk} for chunk in posted.chunks], result):
                await self._learn_replaced(result.right, len(rows))
            elif snapshot and self._is_lost(result, posted.attempt):
                result, snapshot, why = await self._look_again(posted.attempt)
                if not self._is_lost(result, posted.attempt):
                    return posted, result, snapshot, why
                log.warning("accepted and not served: posting again", sweep=posted.attempt.sweep_id, why=why)
            else:
                self._reposts = 0 if result.right else self._reposts
                return posted, result, snapshot, self._explain(why, posted)

    async def _learn_replaced(self, served: int, sent: int) -> None:
        self._sizes.replaces = True
        await self._outbox.learn(replaces=1)
        limit = self._sizes.limit(self._clock.now_ms())
        then = f"its own size limit allows {limit} rows: the largest only" if limit else "posting single batches"
        log.warning(f"the backend replaced its cache: {served} of {sent} served", then=then)

    def _explain(self, why: str, posted: Posted) -> str:
        unsent = len(posted.attempt.unsent)
        if not unsent:
            return why
        size = len(posted.attempt.sent)
        limit = (
            f"the backend replaces its cache and takes no more than {size} rows a POST: "
            f"the {size} largest of {size + unsent} by notional are served"
        )
        return "; ".join(filter(None, (limit, why)))

    def _is_lost(self, result: Audit, attempt: Attempt) -> bool:
        """Accepted, and less than half of it served: worth another POST, a few times."""
        return result.right * 2 < len(attempt.sent) and not result.foreign and self._reposts < REPOSTS

    async def _look_again(self, attempt: Attempt) -> tuple[Audit, Snapshot | None, str]:
        self._reposts += 1
        await self._clock.sleep(min(0.25 * 2**self._reposts, self._settings.retry_max_s))
        return await self._audit(attempt)

    async def _audit(self, attempt: Attempt) -> tuple[Audit, Snapshot | None, str]:
        if not self._settings.audit:
            return Audit("UNAUDITED", 0), None, "BACKEND_AUDIT=off"
        try:
            snapshot = await self._backend.read_served()
        except (Transient, Refused, Rejected, WireError) as e:
            return Audit("UNVERIFIED", 0), None, f"could not read back: {e}"
        result = audits.audit(attempt.as_sent, snapshot, attempt.universe_keys(), self._ledger, self._clock.now_ms())
        if attempt.unsent and result.verdict == "VERIFIED":
            result = result._replace(verdict="PARTIAL")
        self._before_ms = snapshot.as_of_ms
        return result, snapshot, shortfall(result, len(attempt.sent))

    async def _finish(self, cycle: Cycle) -> None:
        entry_id = cycle.attempt.entry_id
        self._post_s = cycle.post_s or self._post_s
        await self._outbox.finish(entry_id, self._post_s)
        self._refusals.pop(entry_id, None)
        await self._report.cycle(cycle)

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
