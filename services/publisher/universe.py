"""The liquid universe -> the backend: when its symbols change, every five minutes, and when another writer changed it.

The backend makes two database queries a symbol, one after another, and deletes whoever is not listed. So an empty
universe is never sent, one that shrinks a lot at once waits, and no update is sent while one may still be under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, cast

from services.publisher.again import LONGEST_S, LastPost, Unclear, keep
from services.publisher.backend import Backend
from services.publisher.metrics import Metrics
from services.publisher.report import Report
from services.publisher.settings import Settings
from services.publisher.wire import Away
from shared.backoff import Backoff
from shared.clock import iso
from shared.errors import Refused, Rejected, WireError
from shared.logs import EventLog, first_names
from shared.model import Member, backend_key
from shared.service import Service
from shared.store import STATUS, UNIVERSE, redis_faults

STEP_S = 2.0  # between looks at oi:universe
LOOK_S = 20.0  # between looks at the backend's while all is well
UNEASY_S = 5.0  # the same while it is not
SEND_S = 300.0  # between two updates that only refresh volumes and times
HOLD_S = 180.0  # for so long a universe that lost more than a tenth at once is not sent
RETRY_MAX_S = 60.0
POSTED = "universe"  # field of oi:publisher
FAILED = "universe not delivered"
UNREAD = "the backend's universe cannot be read back"
ASTRAY = ("FOREIGN", "HELD_BACK", "IN_DOUBT")  # verdicts on a universe that is not served as it is here
log = EventLog("publisher")


@dataclass
class UniverseDelivery:
    """Symbols are in the backend's spelling here."""

    settings: Settings
    service: Service
    backend: Backend
    report: Report
    metrics: Metrics

    def __post_init__(self) -> None:
        self._redis, self._clock = self.service.redis, self.service.clock
        self._last = LastPost(self._redis, POSTED, self.settings.timeout_s, self._clock)
        self._retry = Backoff(1.0, RETRY_MAX_S)
        self._pace = Backoff(2 * LOOK_S, SEND_S)  # a cache before the backend has time to show what arrived
        self._ours: Set[str] = frozenset()  # as of the last look
        self._known: Set[str] | None = None  # what the backend was last known to have of ours
        self._served: Mapping[str, str] | None = None  # what it showed last; None: that cannot be seen
        self._arrived_s = self._look_at_s = self._post_at_s = self._clock.monotonic_s()
        self._moved_s = float("-inf")  # when what is served was last seen to change
        self._shrunk_s: float | None = None
        self._outcome = "found"  # of what is to be seen there next

    async def run(self) -> NoReturn:
        await keep(self.look, self._failed, self._retry, self._clock)

    def _failed(self, error: Exception, wait_s: float) -> None:
        self.metrics.deliveries.labels("universe", "failed").inc()
        self.report.complain(FAILED, error, retry_s=wait_s)

    async def look(self) -> float:
        """Compare what is served with ours, and send ours where that is due; returns the seconds until the next."""
        members = await UNIVERSE.all(self._redis, self.metrics.bad_in_redis)
        ours = {backend_key(symbol) for symbol in members}
        now_s = self._clock.monotonic_s()
        if not ours or (ours == self._ours and now_s < self._look_at_s):
            return STEP_S
        before, self._served = self._served, await self._read()
        if before is not None and before != self._served:
            self._moved_s = now_s
        self._ours, self._look_at_s = ours, now_s + UNEASY_S
        unclear = await self._unclear()
        if unclear and self._is_under_way(unclear, now_s):
            self._tell("IN_DOUBT", "an update ended without an answer, and the backend may still be at work on it")
            return STEP_S
        verdict, why = await self._judge(now_s)
        self._tell(verdict, why)
        if not why:
            self._look_at_s = now_s + LOOK_S
            self._pace.reset()
            self._post_at_s = now_s
        due_s = self._post_at_s if why else self._arrived_s + SEND_S
        if verdict != "HELD_BACK" and now_s >= due_s:
            await self._send(members, verdict, unclear)
        elif not why:
            self._end_failure()
        return STEP_S

    async def _read(self) -> Mapping[str, str] | None:
        if not self.settings.audit:
            return None
        try:
            served = await self.backend.read_universe()
        except (Refused, Rejected, WireError, Away) as e:
            if isinstance(e, Away) and not e.answered:
                raise
            self.report.complain(UNREAD, e)
            return None
        self.service.health.over(UNREAD)
        return served

    async def _unclear(self) -> Unclear | None:
        """The update of unknown outcome; one that is found served has arrived."""
        unclear = await self._last.unclear()
        if unclear is None or self._served is None or self._served.keys() != set(unclear.what.split(",")):
            return unclear
        await self._last.forget()
        self._arrived(set(self._served))
        return None

    def _is_under_way(self, unclear: Unclear, now_s: float) -> bool:
        """Whether the backend may still be at work on it: what is served moves."""
        overdue_s = (self._clock.now_ms() - unclear.until_ms) / 1000
        moves = now_s - self._moved_s < self.settings.timeout_s and 0 <= overdue_s < LONGEST_S
        return moves or self._last.is_at_work(unclear)

    async def _judge(self, now_s: float) -> tuple[str, str]:
        """A word for how it stands, and why where that is not as it should be."""
        ours, known, served = self._ours, self._known, self._served
        if ours == (known if served is None else served.keys()):
            self._shrunk_s = None
            if ours != known:
                self._arrived(ours)
            return ("VERIFIED" if served is not None else "UNVERIFIED" if self.settings.audit else "UNAUDITED"), ""
        if served is not None and ours == known:
            differing = served.keys() ^ ours
            return "FOREIGN", f"{len(served)} symbols are served, not our {len(ours)}: {first_names(differing)} differ"
        before = set(served or ()) if known is None else set(known)
        gone = before - ours - await self._delisted()
        if len(gone) * 10 <= len(before):
            self._shrunk_s = None
            return "CHANGED", "it changed"
        self._shrunk_s = now_s if self._shrunk_s is None else self._shrunk_s
        if now_s - self._shrunk_s >= HOLD_S:
            return "CHANGED", f"it shrank, {HOLD_S:g} s ago"
        return "HELD_BACK", f"it shrank from {len(before)} to {len(ours)}: {first_names(gone)} stay for {HOLD_S:g} s"

    async def _delisted(self) -> set[str]:
        """Those that the exchange itself no longer lists, by the poller's heartbeat."""
        async with redis_faults():
            names = cast("bytes | None", await self._redis.hget(STATUS + "oi_poller", "delisted"))
        return {backend_key(name) for name in (names or b"").decode(errors="replace").split(",")}

    async def _send(self, members: Mapping[str, Member], verdict: str, unclear: Unclear | None) -> None:
        ours = self._ours
        await self._last.send(",".join(sorted(ours)), partial(self.backend.update_universe, members.values()), unclear)
        await self._last.forget()
        self._outcome = "again" if unclear else "restored" if verdict == "FOREIGN" else "delivered"
        self._post_at_s = self._clock.monotonic_s() + self._pace.next_s()
        self._served = await self._read()
        if self._served is None or self._served.keys() == ours:
            self._arrived(ours)
        else:
            differing = first_names(self._served.keys() ^ ours)
            log.warning("universe accepted, and not served", differing=differing)

    def _arrived(self, universe: Set[str]) -> None:
        self._known = universe
        self._arrived_s = self._clock.monotonic_s()
        self._end_failure()
        self.metrics.deliveries.labels("universe", self._outcome).inc()
        self.service.facts["universeDelivered"] = str(len(universe))
        log.info("universe delivered", symbols=len(universe), outcome=self._outcome)
        self._outcome = "found"

    def _end_failure(self) -> None:
        """Ours is served, whatever failed before."""
        self._retry.reset()
        self.service.health.over(FAILED)

    def _tell(self, verdict: str, why: str) -> None:
        served = set(self._served or self._known or ())
        for word in ("FOREIGN", "HELD_BACK"):
            differing = len(served ^ self._ours) if word == verdict else 0
            self.metrics.universe_differing.labels(word.lower()).set(differing)
        for word in ASTRAY:
            if word == verdict:
                self.service.health.aside(f"universe {word}", why=why)
            else:
                self.service.health.over(f"universe {word}")
        self.service.facts.update(universeVerdict=verdict, universeWhy=why)
        if verdict == "FOREIGN":  # ours is back in a moment; that somebody else writes is true for longer
            self.service.facts["universeForeignAt"] = iso(self._clock.now_ms())
