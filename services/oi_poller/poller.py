"""The poller's loop: look who is in, sweep when the budget allows, land it in Redis, rest until the next.

Only Redis being away raises here; faults of the exchange are outcomes of a sweep, and decide how long to rest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from services.oi_poller.exchange import Fapi
from services.oi_poller.listings import Listings
from services.oi_poller.metrics import Metrics
from services.oi_poller.readings import Readings
from services.oi_poller.schedule import Schedule
from services.oi_poller.settings import Settings
from services.oi_poller.sweep import GONE, Outcome, sweep
from services.oi_poller.sweepstore import SweepStore
from services.oi_poller.universe import HELD_S, Change, Universe
from shared.backoff import Backoff
from shared.ban import Ban
from shared.clock import iso, monotonic_ms
from shared.errors import RateLimited, Transient
from shared.logs import EventLog, first_names
from shared.model import MarkPrice, Sweep
from shared.service import Service

log = EventLog("oi_poller")
FIRST_MARKS_S = 15.0  # how long the first sweep waits for marks
SHORT_WAIT_S = 5.0  # a shorter one is no reason for another host to do the work
BAN_NAP_S = 30.0  # during a ban, how often Redis is asked whether it became longer
QUIET = "nothing may be sent until a ban or a Retry-After ends"
FALLEN = "many 24 h volumes fell at once: their symbols stay for now"
DOUBTED = "openInterest alone is not believed that so many no longer trade"


@dataclass
class Poller:
    settings: Settings
    service: Service
    fapi: Fapi
    ban: Ban
    universe: Universe
    listings: Listings
    store: SweepStore
    schedule: Schedule
    metrics: Metrics

    def __post_init__(self) -> None:
        self._clock, self._health = self.service.clock, self.service.health
        self._readings = Readings(self.settings.mark_max_age_s)
        self._wait_until_s = math.inf  # for the first marks; infinite: not missed yet
        self._cause: Exception | None = None  # why the last sweep failed, where it did
        self._redis_away = Backoff(0.25, 5.0)

    async def run(self) -> NoReturn:
        while True:
            try:
                await self._land()  # what Redis missed lands as soon as it is back, not an interval later
                rest_s = self.schedule.rest_s()
                self._health.quiet(rest_s)
                await self._clock.sleep(rest_s)
                await self.turn()
                self._redis_away.reset()
            except Transient as e:
                self.metrics.redis_failures.inc()
                self._health.bad("waiting for Redis", e)
                await self._clock.sleep(self._redis_away.next_s())

    async def turn(self) -> None:
        """One sweep, or a wait for what stands in its way."""
        if not self.store.recalled.is_set():
            self._readings.recall(await self.store.recall())
        await self.ban.refresh()
        await self.listings.tried.wait()
        remaining_s = self.ban.remaining_s()
        self.service.wish = "banned" if remaining_s > SHORT_WAIT_S else ""
        if remaining_s:
            told = isinstance(self._cause, RateLimited)  # else another service was
            why = self._cause if told else "oi:ban says so"
            self._health.bad(QUIET, f"{iso(self.ban.until_ms)}, {why}")
            return self.schedule.nap(min(remaining_s, BAN_NAP_S))
        unknown = await self._look()
        members = len(self.universe.members)
        if not members:
            why = f"{unknown} 24 h volumes are not known yet" if unknown else "no listed symbol is known to be liquid"
            self._health.bad("waiting for a universe", f"{why}: is ws_daemon running?")
            return self.schedule.nap(min(1.0, self.settings.max_interval_s))
        if self.schedule.may_begin(members):
            marks = await self.store.marks()
            if self._lacks_marks(marks):
                self._health.bad("waiting for marks", "oi:mark has none of the universe: is ws_daemon running?")
                return self.schedule.nap(min(0.5, self.settings.max_interval_s))
            await self._sweep(marks)
        return None

    def _lacks_marks(self, marks: Mapping[str, MarkPrice]) -> bool:
        """Of the first sweep, and for some seconds only: without marks nothing of it could be published."""
        now_s = self._clock.monotonic_s()
        if marks.keys() & self.universe.members.keys():
            self._wait_until_s = -math.inf
        elif self._wait_until_s == math.inf:
            self._wait_until_s = now_s + FIRST_MARKS_S
        return now_s < self._wait_until_s

    async def _look(self) -> int:
        """See who is in; returns how many volumes the first universe waits for."""
        volumes = await self.store.volumes()
        change = self.universe.look(volumes, self._clock.now_ms(), self._clock.monotonic_s())
        self._readings.forget(change.left)
        self._tell(change)
        return change.unknown if change.waits else 0

    def _tell(self, change: Change) -> None:
        self.metrics.universe.set(len(self.universe.members))
        self.service.facts["delisted"] = ",".join(sorted(self.universe.delisted))
        if change.entered or change.left:
            log.info(
                "universe changed",
                symbols=len(self.universe.members),
                entered=len(change.entered),
                left=len(change.left),
                entered_names=first_names(change.entered),
                left_names=first_names(change.left),
            )
        if change.unknown and not change.waits:
            log.warning("the first universe begins without all 24 h volumes", unknown=change.unknown)
        if change.held:
            self._health.aside(FALLEN, count=len(change.held), most_s=HELD_S, symbols=first_names(change.held))
        else:
            self._health.over(FALLEN)

    async def _sweep(self, marks: Mapping[str, MarkPrice]) -> None:
        symbols = self._readings.stalest_first(self.universe.members)
        began_s, deadline_s = self._clock.monotonic_s(), self.schedule.begin(len(symbols))
        self._health.quiet(deadline_s)
        outcome = await sweep(
            symbols, self.fapi.open_interest, self._clock, in_flight=self.settings.in_flight, deadline_s=deadline_s
        )
        self._drop_gone(outcome)
        ended_ms, took_s = self._clock.now_ms(), self._clock.monotonic_s() - began_s
        record = self._readings.record(outcome, marks, ended_ms - round(took_s * 1000), ended_ms)
        self._cause = outcome.cause
        self.schedule.ended(outcome)
        self.metrics.swept(outcome, len(record.readings) - len(outcome.fresh), took_s)
        _name_failures(outcome)
        self.store.owe(record)
        await self._land()

    def _drop_gone(self, outcome: Outcome) -> None:
        """Take out whom the exchange no longer trades; of many at once its symbol list must say so too."""
        gone = {symbol for symbol, reason in outcome.failures.items() if reason in GONE}
        if self.universe.drop(gone):
            self._readings.forget(gone)
            self._health.over(DOUBTED)
        else:
            self._health.aside(DOUBTED, count=len(gone), symbols=first_names(gone))
        if gone:
            self.listings.prompt()

    async def _land(self) -> None:
        """Write what is owed, and only then say that it landed."""
        landed = await self.store.write_owed()
        if landed is None:
            return
        symbols, failed = len(landed.universe()), len(landed.failures)
        self._say_landed(landed, symbols, failed)
        if 2 * failed < symbols:
            self._health.limit_s = max(self.settings.limit_s, 3 * self.schedule.interval_s)
            self._health.good(f"{symbols - failed} of {symbols} symbols fresh")
        else:
            self._health.bad("most symbols failed", self._cause or "openInterest answers that they do not trade")

    def _say_landed(self, landed: Sweep, symbols: int, failed: int) -> None:
        facts = {
            "symbols": symbols,
            "fresh": symbols - failed,
            "failed": failed,
            "took_s": (landed.ended_ms - landed.started_ms) / 1000,
            "interval_s": round(self.schedule.interval_s, 2),
            "used_weight": self.fapi.budget.used(monotonic_ms(self._clock)),
            "others_weight": self.fapi.budget.others(monotonic_ms(self._clock)),
        }
        log.info("sweep landed", **facts)
        self.metrics.last_sweep.set(landed.ended_ms / 1000)
        self.service.facts.update({key: str(value) for key, value in facts.items()}, sweep=landed.sweep_id)


def _name_failures(outcome: Outcome) -> None:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for symbol, reason in outcome.failures.items():
        by_reason[reason].append(symbol)
    for why, symbols in by_reason.items():
        log.warning("symbols failed", reason=why, count=len(symbols), symbols=first_names(symbols))
