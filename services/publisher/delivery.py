"""Sweeps -> batches: order, backlog, acknowledgement.

One loop, and all it knows stands in Redis: whatever goes wrong, it starts again from there. A round ends with the
newest sweep. Late ones go out before it only while there is time for them, so that the newest is never kept waiting:
what is served is not older than one interval and one POST.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NoReturn

from services.publisher.audit import Proof, left_out, served_rows
from services.publisher.batch import Batches, Draft
from services.publisher.join import Books, Limits, join, own_marks
from services.publisher.metrics import Metrics
from services.publisher.outbox import Lost, Outbox, entry_time
from services.publisher.report import REFUSED, SLOW, Report
from services.publisher.settings import Settings
from services.publisher.wire import Away, InDoubt
from shared.backoff import Backoff
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.model import Sweep
from shared.numbers import LATEST_MS
from shared.service import Service
from shared.store import MARKS, UNIVERSE
from shared.sweeplog import entry_order

BURST_S = 5.0  # most that late sweeps may take of one interval
REFUSALS = 3  # of one batch, before it counts as undeliverable
FIRST_RETRY_S = 0.5
REDIS_RETRY_S = 2.0
SLOW_POSTS = 2  # in a row, before the backend counts as slower than the sweeps
PACE_OF = 6  # sweeps, by whose landing the interval between them is judged
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
    _refusals: tuple[str, int] = field(default=("", 0), init=False)  # of which entry, how many
    _landed_ms: deque[int] = field(default_factory=lambda: deque(maxlen=PACE_OF), init=False)  # the last ones, by id
    _slow: int = field(default=0, init=False)  # POSTs in a row that left no time for a late sweep
    _stores: bool = field(default=True, init=False)  # the backend's database took the last batch
    _finished_s: float = field(default=0.0, init=False)  # when the last cycle ended
    _looked: bool = field(default=True, init=False)  # since then, whether what is served is still ours

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
        kept = await self.outbox.recall()
        trimmed = await self.outbox.open()
        self.batches.limits.recall(kept)
        self.batches.post_s = kept.post_s
        self.batches.ledger.recall(await self.outbox.last_served(), kept.sent)
        if self.settings.audit:
            try:
                await self.batches.readback.first_look()
            except (Transient, Refused, Rejected, WireError) as e:
                self.report.complain("nothing to read back at the start", e, backend=self.batches.backend.origin)
        self.metrics.duplicates.inc(kept.duplicates)
        self._count_lost(trimmed, "retention")
        self._started = True

    async def _round(self) -> None:
        """What is in flight is settled; then the late sweeps there is time for, oldest first; then the newest."""
        idle = not self.outbox.attempt and not self._has_news()
        self._count_lost(await self.outbox.collect(block=idle), "deleted")
        self._redis_backoff.reset()
        if self.outbox.attempt:
            proof = await self.batches.find(self.outbox.attempt)
            if proof:
                await self._finish(proof)
                self._note_pace()
                self._count_lost(await self.outbox.collect(block=False), "deleted")
            elif self.outbox.attempt.entry_id not in self.outbox.waiting:
                await self.outbox.note(None)  # there is nothing any more to post again
        while expired := await self.outbox.expire():
            self._count_lost(expired, "retention")
            self._count_lost(await self.outbox.collect(block=False), "deleted")
        self._listen()
        if not self._has_news():
            await self._make_way()
            await self._look_between()
            return
        until_s = self.service.clock.monotonic_s() + self._spare_s()
        await self._thin(until_s)
        while (entry_id := self._next_late()) and self._fits(until_s):
            await self._deliver(entry_id, late=True)
            self._count_lost(await self.outbox.collect(block=False), "deleted")
            if not self._has_news():  # the stream was deleted meanwhile
                return
        await self._make_way()
        await self._deliver(self.outbox.waiting[-1], late=False)
        self._note_pace()

    async def _look_between(self) -> None:
        """Once between two batches, when half of the interval is over: is what is served still ours?"""
        since_s = self.service.clock.monotonic_s() - self._finished_s
        if not self._looked and since_s * 2 >= self._interval_s():
            self._looked = True
            self.report.between(await self.batches.readback.look_between())

    def _has_news(self) -> bool:
        """Whether a sweep waits that is newer than all that was delivered: the one that a round may end with."""
        waiting = self.outbox.waiting
        return bool(waiting) and entry_order(waiting[-1]) > entry_order(self.outbox.delivered_id)

    def _next_late(self) -> str | None:
        """What is to go out before the newest: one that may have arrived already, else the oldest."""
        *late, newest = self.outbox.waiting
        if self.outbox.attempt:
            return None if self.outbox.attempt.entry_id == newest else self.outbox.attempt.entry_id
        return late[0] if late else None

    def _listen(self) -> None:
        """Redis answers: note when sweeps land, and say when none does."""
        now_s = self.service.clock.monotonic_s()
        for landed_ms in (entry_order(entry_id)[0] for entry_id in self.outbox.waiting[-PACE_OF:]):
            if not self._landed_ms or landed_ms > self._landed_ms[-1]:
                self._landed_ms.append(landed_ms)
        if self._has_news():
            self._silent_since_s = now_s
        else:
            self.report.unblocked()
        if now_s - self._silent_since_s > self.settings.verified_max_age_s:
            self.report.silence(now_s - self._silent_since_s)
        self.report.backlog(len(self.outbox.waiting))

    def _interval_s(self) -> float:
        """Between two sweeps, of late; 0 while that is not known."""
        landed = self._landed_ms
        return (landed[-1] - landed[0]) / 1000 / (len(landed) - 1) if len(landed) > 1 else 0.0

    def _spare_s(self) -> float:
        """How long late sweeps may take before the newest has to go out: the interval less a POST and a half."""
        spare_s = self._interval_s() - 1.5 * self.batches.post_s
        return min(BURST_S, spare_s) if self._interval_s() else BURST_S

    def _note_pace(self) -> None:
        """After a POST: whether one more would have fitted into the interval."""
        self._slow = self._slow + 1 if self._spare_s() <= self.batches.post_s else 0

    def _fits(self, until_s: float) -> bool:
        """Whether one more late sweep leaves the newest its time."""
        return self._stores and self.service.clock.monotonic_s() + self.batches.post_s < until_s

    async def _thin(self, until_s: float) -> None:
        """Thin what a backend that is slower than the sweeps will never get to.

        Only what landed while the last POST was under way, and not after a single slow one; what an outage left waits
        until there is time for it.
        """
        if self._fits(until_s):
            self.report.over(SLOW)
            return
        await self._make_way()
        if self._slow < SLOW_POSTS or not self._stores:
            return
        thinned = [e for e in self.outbox.waiting[:-1] if entry_order(e) > entry_order(self.outbox.delivered_id)]
        if thinned:
            await self.outbox.give_up(*thinned)
            self.metrics.thinned.inc(len(thinned))
            self.report.slow(len(thinned), entry_time(thinned[0]), self.batches.post_s, self._interval_s())

    async def _make_way(self) -> None:
        """A doubt does not keep the newest waiting; where there is none, one that has to go out again waits for it."""
        attempt = self.outbox.attempt
        if attempt and not (self._has_news() and attempt.entry_id == self.outbox.waiting[-1]):
            await self.outbox.release(attempt)
            self.metrics.duplicates.inc(attempt.posts - 1)

    async def _deliver(self, entry_id: str, *, late: bool) -> None:
        sweep = (await self.outbox.load(entry_id)).sweep
        if isinstance(sweep, WireError) or not 0 < sweep.ended_ms < LATEST_MS:
            trimmed = isinstance(sweep, WireError) and sweep.reason == "trimmed_sweep"
            await self._lose(entry_id, "retention" if trimmed else "unreadable", entry_time(entry_id))
            return
        books = await self._join(sweep, late)
        rows = len(books.records)
        pieces = 1 + rows // (self.batches.limits.size(rows, self.service.clock.now_ms()) or 1)
        self.service.health.quiet((2 + pieces) * self.settings.timeout_s)  # each of them may take as long as that
        try:
            proof = await self.batches.deliver(Draft(entry_id, sweep, books))
        except Rejected as e:
            await self._refused(entry_id, sweep, e)
        else:
            self._backoff.reset()
            self._stores = not proof.is_unstored
            await self._finish(proof, late=late)

    async def _join(self, sweep: Sweep, late: bool) -> Books:
        """The newest sweep meets the freshest marks, while they are of one time; any other the marks of its own."""
        now_ms = self.service.clock.now_ms()
        limits = Limits(self.settings.mark_max_age_s, self.settings.oi_max_age_s)
        if late or not 0 <= now_ms - sweep.ended_ms <= limits.mark_max_age_s * 1000:
            books = join(sweep, own_marks(sweep), sweep.ended_ms, limits)
        else:
            redis = self.service.redis
            marks = await MARKS.all(redis, self.metrics.bad_in_redis, sweep.universe())
            books = join(sweep, marks, now_ms, limits, await UNIVERSE.symbols(redis))
        self.metrics.unaccounted.set(books.unaccounted)
        if books.unaccounted:
            log.error("the books do not close", sweep=sweep.sweep_id, unaccounted=books.unaccounted)
        return books

    async def _finish(self, proof: Proof, *, late: bool = False) -> None:
        """A cycle has ended: what it taught is kept, all of it is written in one step, and told."""
        batches, attempt, now_ms = self.batches, proof.attempt, self.service.clock.now_ms()
        batches.learn_from(proof)
        served = served_rows(proof, batches.ledger, now_ms)
        facts: dict[str, str | float] = {
            "post_s": batches.post_s,
            "post_status": proof.post_status,
            **batches.limits.as_fields(),
        }
        keep = proof.is_unstored
        await self.outbox.finish(attempt.entry_id, attempt.posts, facts, left_out(attempt), served, keep=keep)
        self.metrics.duplicates.inc(attempt.posts - 1)
        self._refusals = ("", 0)
        self._finished_s, self._looked = self.service.clock.monotonic_s(), False
        late = late or self._has_news()
        self.report.cycle(proof, batches.limits.merges, late=late, backlog=len(self.outbox.waiting))

    async def _refused(self, entry_id: str, sweep: Sweep, error: Rejected) -> None:
        """400 for this very batch: tried a few times, in case it was a mistake, then dropped, counted and named."""
        refused, times = self._refusals
        self._refusals = (entry_id, times + 1 if refused == entry_id else 1)
        if self._refusals[1] < REFUSALS:
            raise error
        await self._lose(entry_id, "refused", sweep.sweep_id, error=str(error))

    async def _lose(self, entry_id: str, cause: str, name: str, **facts: object) -> None:
        await self.outbox.give_up(entry_id)
        self._count_lost(Lost(1, name, name), cause, **facts)

    def _count_lost(self, lost: Lost | None, cause: str, **facts: object) -> None:
        if lost:
            self.metrics.lost.labels(cause).inc(lost.sweeps)
            log.error("sweeps lost", count=lost.sweeps, cause=cause, first=lost.first, last=lost.last, **facts)

    def _trouble(self, error: Exception) -> float:
        """Say what is wrong, and for how long to wait."""
        if isinstance(error, RateLimited):
            self.report.trouble("the backend asks for quiet (429)", error)
            return error.retry_after_s or self._backoff.next_s()
        if isinstance(error, Transient) and not isinstance(error, Away):
            self.report.trouble("waiting for Redis", error)
            return self._redis_backoff.next_s()
        self.batches.limits.try_again()
        wait_s = self._backoff.next_s()
        what = "the backend is away; sweeps wait in oi:sweeps"
        if isinstance(error, Refused | Rejected):
            what = REFUSED if isinstance(error, Refused) else "the backend refuses the batch"
        elif isinstance(error, InDoubt):
            what = "the backend left open whether it took the batch; looking before posting again"
        self.report.trouble(what, error)
        return wait_s
