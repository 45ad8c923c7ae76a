"""Sweeps -> batches: order, backlog, acknowledgement.

One loop, and all it knows stands in Redis: whatever goes wrong, it starts again from there. A round ends with the
newest sweep. Late ones go out before it only while there is time for them, so that the newest is never kept waiting:
what is served is not older than one interval and one POST.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NoReturn

from services.publisher.attempt import Attempt
from services.publisher.audit import Proof
from services.publisher.batch import Batches, Draft
from services.publisher.join import Books, Limits, join, own_marks
from services.publisher.metrics import Metrics
from services.publisher.outbox import Lost, Outbox, entry_time
from services.publisher.pace import Pace
from services.publisher.report import REFUSED, SLOW, Report
from services.publisher.settings import Settings
from services.publisher.wire import Away, InDoubt
from shared.backoff import Backoff
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.model import Sweep
from shared.service import Service
from shared.store import MARKS, UNIVERSE
from shared.sweeplog import entry_order

REFUSALS = 3  # of one batch, before it counts as undeliverable
FIRST_RETRY_S = 0.5
REDIS_RETRY_S = 2.0
NO_REDIS = "waiting for Redis"
TROUBLES = (  # the first that fits
    (RateLimited, "the backend asks for quiet (429)"),
    (InDoubt, "the backend left open whether it took the batch; looking before posting again"),
    (Away, "the backend is away; sweeps wait in oi:sweeps"),
    (Transient, NO_REDIS),
    (Refused, REFUSED),
    (Rejected, "the backend refuses the batch"),
)
log = EventLog("publisher")


@dataclass
class Delivery:
    """Delivers every sweep of ``oi:sweeps`` once, the newest first of all."""

    settings: Settings
    service: Service
    outbox: Outbox
    batches: Batches
    report: Report
    metrics: Metrics
    _started: bool = field(default=False, init=False)
    _pace: Pace = field(default_factory=Pace, init=False)
    _refusals: Counter[str] = field(default_factory=Counter, init=False)  # by entry, since the last batch delivered
    _stores: bool = field(default=True, init=False)  # the backend's database took the last batch
    _looked: bool = field(default=True, init=False)  # since the last batch, whether what is served is still ours

    def __post_init__(self) -> None:
        self._backoff = Backoff(min(FIRST_RETRY_S, self.settings.retry_max_s), self.settings.retry_max_s)
        self._redis_backoff = Backoff(0.1, REDIS_RETRY_S)
        self._silent_since_s = self.service.clock.monotonic_s()

    async def run(self) -> NoReturn:
        while True:
            await self.service.clock.sleep(await self.step())

    async def step(self) -> float:
        """One round; returns the seconds to wait before the next, none unless it failed."""
        try:
            if not self._started:
                await self._start()
            await self._round()
        except (Transient, Refused, Rejected) as e:
            wait_s = self._trouble(e)
            self.service.health.quiet(wait_s)
            return wait_s
        return 0.0

    async def _start(self) -> None:
        """Take up what an earlier process left: its attempt, what it learned and counted, what it saw served."""
        kept, missed = await self.outbox.recall(), await self.outbox.missed()
        await self.batches.recall(kept)
        try:
            await self.batches.readback.first_look()
        except (Transient, Refused, Rejected, WireError) as e:
            self.report.complain("nothing to read back at the start", e, backend=self.batches.backend.origin)
        if missed:
            self._count_lost(missed)
        self._started = True

    async def _round(self) -> None:
        """What is in flight is settled; then the late sweeps there is time for, oldest first; then the newest."""
        await self._collect(block=not self.outbox.attempt and not self.outbox.news)
        self._redis_backoff.reset()
        if self.outbox.attempt:
            await self._settle(self.outbox.attempt)
        self._listen()
        if self.outbox.news:
            await self._look_between()
            until_s = self.service.clock.monotonic_s() + self._pace.spare_s(self.batches.post_s)
            await self._thin(until_s)
            while self.outbox.late and self._fits(until_s):
                await self._deliver(self.outbox.late)
                await self._collect()
        await self._make_way()
        if self.outbox.news:
            await self._deliver(self.outbox.news)

    async def _collect(self, *, block: bool = False) -> None:
        """Take what landed; what waited and is no longer there is lost."""
        for lost in await self.outbox.collect(block=block):
            self._count_lost(lost)

    async def _settle(self, attempt: Attempt) -> None:
        """Found served, it is delivered; else it goes out again. Raises while that is not clear."""
        proof = await self.batches.find(attempt)
        if proof:
            await self._finish(proof)
            await self._collect()
        elif attempt.entry_id not in self.outbox.waiting:
            await self.outbox.note(None)  # there is nothing any more to post again

    def _listen(self) -> None:
        """Redis answers: note when sweeps land, and say when none does."""
        now_s = self.service.clock.monotonic_s()
        self._pace.landed(self.outbox.waiting)
        if self.outbox.news:
            self._silent_since_s = now_s
        else:
            self.report.unblocked()
        if now_s - self._silent_since_s > self.settings.verified_max_age_s:
            self.report.silence(now_s - self._silent_since_s)
        self.report.backlog(len(self.outbox.waiting))

    async def _look_between(self) -> None:
        """Once between two batches, at the last moment: what another wrote since ours stands until the next one."""
        if not self._looked:
            self._looked = True
            self.report.between(await self.batches.readback.look_between())

    async def _thin(self, until_s: float) -> None:
        """Thin what a backend that is slower than the sweeps will never get to.

        Only what landed while the last POST was under way, and not after a single slow one; what an outage left waits
        until there is time for it.
        """
        if self._fits(until_s):
            self.service.health.over(SLOW)
            return
        await self._make_way()
        if not self._pace.is_slow or not self._stores:
            return
        thinned = [e for e in self.outbox.waiting[:-1] if entry_order(e) > entry_order(self.outbox.delivered_id)]
        if thinned:
            await self.outbox.give_up(*thinned)
            self.metrics.thinned.inc(len(thinned))
            self.report.slow(len(thinned), entry_time(thinned[0]), self.batches.post_s, self._pace.interval_s)

    def _fits(self, until_s: float) -> bool:
        """Whether one more late sweep leaves the newest its time."""
        return self._stores and self.service.clock.monotonic_s() + self.batches.post_s < until_s

    async def _make_way(self) -> None:
        """A doubt does not keep the newest waiting; where there is none, one that has to go out again waits for it."""
        attempt = self.outbox.attempt
        if attempt and attempt.entry_id != self.outbox.news:
            await self.outbox.release(attempt)
            self.metrics.duplicates.inc(attempt.posts - 1)

    async def _deliver(self, entry_id: str) -> None:
        sweep = (await self.outbox.load(entry_id)).sweep
        if isinstance(sweep, WireError):
            cause = "retention" if sweep.reason == "trimmed_sweep" else "unreadable"
            await self._lose(entry_id, cause, entry_time(entry_id))
            return
        books = await self._join(sweep, is_late=entry_id != self.outbox.news)
        rows = len(books.records)
        pieces = 1 + rows // (self.batches.limits.size(rows, self.service.clock.now_ms()) or 1)
        self.service.health.quiet((2 + pieces) * self.settings.timeout_s)  # each of them may take as long as that
        try:
            proof = await self.batches.deliver(Draft(entry_id, sweep, books))
        except Rejected as e:  # 400 for this very batch: tried a few times, in case it was a mistake
            self._refusals[entry_id] += 1
            if self._refusals[entry_id] < REFUSALS:
                raise
            await self._lose(entry_id, "refused", sweep.sweep_id, error=str(e))
            return
        self._backoff.reset()
        self._stores = not proof.is_unstored
        await self._finish(proof)

    async def _join(self, sweep: Sweep, *, is_late: bool) -> Books:
        """The newest sweep meets the freshest marks, while they are of one time; any other the marks of its own."""
        now_ms = self.service.clock.now_ms()
        limits = Limits(self.settings.mark_max_age_s, self.settings.oi_max_age_s)
        if is_late or not 0 <= now_ms - sweep.ended_ms <= limits.mark_max_age_s * 1000:
            books = join(sweep, own_marks(sweep), sweep.ended_ms, limits)
        else:
            redis = self.service.redis
            marks = await MARKS.all(redis, self.metrics.bad_in_redis, sweep.universe())
            books = join(sweep, marks, now_ms, limits, await UNIVERSE.symbols(redis))
        self.metrics.unaccounted.set(books.unaccounted)
        if books.unaccounted:
            log.error("the books do not close", sweep=sweep.sweep_id, unaccounted=books.unaccounted)
        return books

    async def _finish(self, proof: Proof) -> None:
        """A cycle has ended: it is written down, and told."""
        await self.batches.finish(proof)
        self._refusals.clear()
        self._pace.posted(self.batches.post_s)
        self._looked = False
        backlog = len(self.outbox.waiting)
        self.report.cycle(proof, self.batches.limits.merges, is_late=self.outbox.news is not None, backlog=backlog)

    async def _lose(self, entry_id: str, cause: str, name: str, **facts: object) -> None:
        await self.outbox.give_up(entry_id)
        self._count_lost(Lost(cause, 1, name, name), **facts)

    def _count_lost(self, lost: Lost, **facts: object) -> None:
        self.metrics.lost.labels(lost.cause).inc(lost.sweeps)
        log.error("sweeps lost", count=lost.sweeps, cause=lost.cause, first=lost.first, last=lost.last, **facts)

    def _trouble(self, error: Exception) -> float:
        """Say what is wrong, and for how long to wait."""
        what = next(words for kind, words in TROUBLES if isinstance(error, kind))
        self.report.trouble(what, error)
        if what == NO_REDIS:
            return self._redis_backoff.next_s()
        if isinstance(error, RateLimited):
            return error.retry_after_s or self._backoff.next_s()
        self.batches.limits.try_again()
        return self._backoff.next_s()
