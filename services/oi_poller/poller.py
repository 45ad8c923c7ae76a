"""The poller's loop: look who is in, sweep when the budget allows, land it in Redis, rest until the next.

Only Redis being away raises here; faults of the exchange are outcomes of a sweep, and decide how long to rest.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import NoReturn

from services.oi_poller.exchange import Fapi
from services.oi_poller.listings import Listings
from services.oi_poller.metrics import Metrics
from services.oi_poller.schedule import Schedule
from services.oi_poller.settings import Settings
from services.oi_poller.sweep import GONE, Outcome, sweep
from services.oi_poller.sweepstore import SweepStore
from services.oi_poller.universe import HELD_S, Change, Universe
from shared.backoff import Backoff
from shared.ban import Ban
from shared.clock import iso
from shared.errors import Transient
from shared.logs import EventLog, OncePer, first_names
from shared.model import MarkPrice, Reading, Sweep
from shared.runner import Service

log = EventLog("oi_poller")
CARRY_MS = 600_000  # a good reading is carried through failures for this long
QUIET = "nothing may be sent until a ban or a Retry-After ends"
BAN_NAP_S = 30.0  # during a ban, how often Redis is asked whether it became longer


class Poller:
    def __init__(
        self,
        settings: Settings,
        service: Service,
        fapi: Fapi,
        ban: Ban,
        universe: Universe,
        listings: Listings,
        store: SweepStore,
        schedule: Schedule,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._service = service
        self._clock = service.clock
        self._health = service.health
        self._fapi = fapi
        self._ban = ban
        self._universe = universe
        self._listings = listings
        self._store = store
        self._schedule = schedule
        self._metrics = metrics
        self._last: dict[str, Reading] = {}  # the last good reading of each member
        self._cause = ""  # why the last sweep failed, where it did
        self._held = False  # members whose volumes fell
        self._once = OncePer(service.clock, 60.0)
        self._redis_away = Backoff(0.25, 5.0)

    async def run(self) -> NoReturn:
        while True:
            try:
                await self._settle()  # what Redis missed lands as soon as it is back, not an interval later
                self._health.quiet(self._schedule.rest_s())
                await self._schedule.rest()
                await self.turn()
                self._redis_away.reset()
            except Transient as e:
                self._metrics.redis_failures.inc()
                self._health.bad("waiting for Redis", e)
                await self._clock.sleep(self._redis_away.next_s())

    async def turn(self) -> None:
        """One sweep, or a wait for what stands in its way."""
        if not self._store.recalled.is_set():
            self._last = await self._store.recall()
        await self._ban.refresh()
        await self._listings.tried.wait()
        remaining_s = self._ban.remaining_s()
        if remaining_s:
            self._health.bad(QUIET, f"{iso(self._ban.until_ms)}, {self._cause or 'oi:ban says so'}")
            return self._schedule.nap(min(remaining_s, BAN_NAP_S))
        unknown = await self._look()
        members = len(self._universe.members)
        if not members:
            why = f"{unknown} 24 h volumes are not known yet" if unknown else "no listed symbol is known to be liquid"
            self._health.bad("waiting for a universe", f"{why}: is ws_daemon running?")
            return self._schedule.nap(min(1.0, self._settings.max_interval_s))
        if self._schedule.may_begin(members):
            await self._sweep()
        return None

    async def _look(self) -> int:
        """See who is in; returns how many volumes the first universe waits for."""
        volumes = await self._store.volumes()
        change = self._universe.look(volumes, self._clock.now_ms(), self._clock.monotonic_s())
        for symbol in change.left:
            self._last.pop(symbol, None)
        self._tell(change)
        return change.unknown if change.waits else 0

    def _tell(self, change: Change) -> None:
        self._metrics.universe.set(len(self._universe.members))
        self._service.facts["delisted"] = ",".join(sorted(self._universe.delisted))
        if change.entered or change.left:
            log.info(
                "universe changed",
                symbols=len(self._universe.members),
                entered=len(change.entered),
                left=len(change.left),
                entered_names=first_names(change.entered),
                left_names=first_names(change.left),
            )
        if change.unknown and not change.waits:
            log.warning("the first universe begins without all 24 h volumes", unknown=change.unknown)
        if change.held and not self._held:
            count, names = len(change.held), first_names(change.held)
            log.warning("many volumes fell at once: these stay for now", count=count, seconds=HELD_S, symbols=names)
        self._held = bool(change.held)

    async def _sweep(self) -> None:
        marks = await self._store.marks()
        symbols = sorted(self._universe.members, key=self._received_ms)  # stalest first: none fails for ever
        started_ms, deadline_s = self._clock.now_ms(), self._schedule.begin(len(symbols))
        self._health.quiet(deadline_s)
        outcome = await sweep(
            symbols, self._fapi.open_interest, self._clock, in_flight=self._settings.in_flight, deadline_s=deadline_s
        )
        self._drop_gone(outcome)
        record = self._record(outcome, marks, started_ms)
        self._cause = str(outcome.cause or "openInterest answers that they do not trade")
        self._schedule.ended(outcome)
        self._metrics.swept(outcome, len(record.readings) - len(outcome.fresh), (record.ended_ms - started_ms) / 1000)
        _name_failures(outcome)
        self._store.owe(record)
        await self._settle()

    def _received_ms(self, symbol: str) -> int:
        last = self._last.get(symbol)
        return 0 if last is None else last.open_interest.received_ms

    def _drop_gone(self, outcome: Outcome) -> None:
        """Take out whom the exchange no longer trades; of many at once its symbol list must say so too."""
        gone = {symbol for symbol, reason in outcome.failures.items() if reason in GONE}
        if self._universe.drop(gone):
            for symbol in gone:
                self._last.pop(symbol, None)
        elif self._once.due("gone") is not None:
            names = first_names(gone)
            log.warning(
                "many are said not to trade: not believed of openInterest alone", count=len(gone), symbols=names
            )
        if gone:
            self._listings.prompt()

    def _record(self, outcome: Outcome, marks: dict[str, MarkPrice], started_ms: int) -> Sweep:
        """Every reading gets the price of now, a carried one too; a price too old to be published is none."""
        now_ms = self._clock.now_ms()
        longest_ms = self._settings.mark_max_age_s * 1000  # either way: a clock that was set back makes stamps to come
        prices = {
            symbol: mark.mark_price for symbol, mark in marks.items() if abs(now_ms - mark.received_ms) <= longest_ms
        }
        fresh = {symbol: Reading(oi, prices.get(symbol)) for symbol, oi in outcome.fresh.items()}
        self._last.update(fresh)
        carried = {
            symbol: Reading(self._last[symbol].open_interest, prices.get(symbol))
            for symbol in outcome.failures
            if symbol in self._last and abs(now_ms - self._received_ms(symbol)) <= CARRY_MS
        }
        failures = {symbol: reason.value for symbol, reason in outcome.failures.items()}
        return Sweep(f"{started_ms}-{secrets.token_hex(3)}", started_ms, now_ms, fresh | carried, failures)

    async def _settle(self) -> None:
        """Write what is owed, and only then say that it landed."""
        landed = await self._store.settle()
        if landed is None:
            return
        symbols, failed = len(landed.universe()), len(landed.failures)
        facts = {
            "symbols": symbols,
            "fresh": symbols - failed,
            "failed": failed,
            "took_s": (landed.ended_ms - landed.started_ms) / 1000,
            "interval_s": round(self._schedule.interval_s, 2),
            "used_weight": self._schedule.used_weight(),
        }
        log.info("sweep landed", **facts)
        self._metrics.last_sweep.set(landed.ended_ms / 1000)
        self._service.facts.update({key: str(value) for key, value in facts.items()}, sweep=landed.sweep_id)
        if 2 * failed < symbols:
            self._health.limit_s = max(self._settings.limit_s, 3 * self._schedule.interval_s)
            self._health.good(f"{symbols - failed} of {symbols} symbols fresh")
        else:
            self._health.bad("most symbols failed", self._cause)


def _name_failures(outcome: Outcome) -> None:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for symbol, reason in outcome.failures.items():
        by_reason[reason].append(symbol)
    for why, symbols in by_reason.items():
        log.warning("symbols failed", reason=why, count=len(symbols), symbols=first_names(symbols))
