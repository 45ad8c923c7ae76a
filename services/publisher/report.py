"""A cycle's outcome, told the same way in the log, the metrics, ``/healthz`` and the heartbeat. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import get_args

from services.publisher.audit import Proof, Verdict
from services.publisher.metrics import Metrics
from shared.agreed import FOREIGN_S
from shared.clock import iso
from shared.errors import Refused, WireError
from shared.logs import EventLog, first_names
from shared.service import Service

REFUSED = "the backend refuses everything"
SLOW = "sweeps thinned: the backend is slower than they land"
BETWEEN = "another writer: between two batches values are served that nobody here sent"
GOOD = ("VERIFIED", "UNAUDITED")
OLD_MS = 30_000  # the promise of freshness
log = EventLog("publisher")


class Report:
    def __init__(self, service: Service, metrics: Metrics, fresh_s: float) -> None:
        """``fresh_s``: for so long after a verified cycle one that could not be seen is no bad sign."""
        self._service = service
        self._clock = service.clock
        self._metrics = metrics
        self._fresh_s = fresh_s
        self._served_received: list[int] = []  # of each symbol served right: when its open interest was received
        self._verified_s: float | None = None
        self._foreign_s: float | None = None  # when another writer was last seen
        metrics.old.set_function(self._old_symbols)

    def cycle(self, proof: Proof, merges: str, *, is_late: bool, backlog: int) -> None:
        if proof.verdict == "VERIFIED":
            self._verified_s = self._clock.monotonic_s()
        self._count(proof)
        self._log(proof, {"late": "yes" if is_late else "no", "backlog": backlog} if is_late or backlog else {})
        self._judge(proof)
        self._service.facts["backendMerges"] = merges
        self.backlog(backlog)

    def _count(self, proof: Proof) -> None:
        attempt, snapshot, metrics = proof.attempt, proof.snapshot, self._metrics
        metrics.close_books(attempt.published, attempt.reasons())
        metrics.cycles.labels(proof.verdict).inc()
        for verdict in get_args(Verdict):
            metrics.verdict.labels(verdict).set(verdict == proof.verdict)
        metrics.sent.set(len(attempt.sent))
        metrics.cache_age.set(proof.cache_age_s or 0)
        metrics.unstored.set(0 if proof.stored is None else max(0, len(attempt.sent) - proof.stored))
        if proof.verdict == "VERIFIED":
            metrics.last_verified.set(self._clock.now_ms() / 1000)
        if snapshot is None:
            return  # what is served is not known; the gauges keep what was last seen
        for reason, symbols in proof.wrong.items():
            metrics.unserved.labels(reason).set(len(symbols))
        unserved = set[str]().union(*proof.wrong.values())
        self._served_received = [ms for key, ms in attempt.received.items() if key not in unserved]
        metrics.served.set(proof.right)
        metrics.ghosts.set(len(proof.ghosts))
        if snapshot.as_of_ms is not None:
            metrics.served_batch.set(snapshot.as_of_ms / 1000)
        if snapshot.unreadable:
            unreadable = WireError("served_value", f"no numbers: {first_names(snapshot.unreadable)}")
            metrics.bad("backend", unreadable, len(snapshot.unreadable))

    def _old_symbols(self) -> int:
        """Asked at each scrape, so that the answer ages with what is served though nothing happens here."""
        now_ms = self._clock.now_ms()
        return sum(now_ms - received_ms > OLD_MS for received_ms in self._served_received)

    def _log(self, proof: Proof, waiting: Mapping[str, object]) -> None:
        attempt = proof.attempt
        reasons = {reason: f"{len(names)}:{first_names(names, 5)}" for reason, names in attempt.reasons().items()}
        say = log.info if proof.verdict in GOOD else log.warning
        say(
            "cycle",
            verdict=proof.verdict,
            served=proof.right if proof.snapshot is not None else "unknown",
            sent=len(attempt.sent),
            universe=attempt.universe,
            left_out=len(attempt.left_out),
            failed=len(attempt.failed),
            ghosts=len(proof.ghosts),
            age_s=(self._clock.now_ms() - attempt.batch_ms) / 1000,
            post_ms=round(proof.post_s * 1000),
            sweep=attempt.sweep_id,
            **waiting,
            **({} if proof.cache_age_s is None else {"cache_age_s": proof.cache_age_s}),
            **({"why": proof.why} if proof.why else {}),
            **reasons,
        )

    def _judge(self, proof: Proof) -> None:
        attempt = proof.attempt
        self._service.facts.update(
            verdict=proof.verdict,
            served=str(proof.right) if proof.snapshot is not None else "unknown",
            sent=str(len(attempt.sent)),
            universe=str(attempt.universe),
            leftOut=str(len(attempt.left_out)),
            failed=str(len(attempt.failed)),
            ghosts=str(len(proof.ghosts)),
            batch=iso(attempt.batch_ms),
            stored="unknown" if proof.stored is None else str(proof.stored),
            cacheAgeS="" if proof.cache_age_s is None else f"{proof.cache_age_s:.0f}",
            why=proof.why,
            blocked="",
        )
        if self._is_only_cached(proof):
            return  # a cache hides this one; VERIFIED_MAX_AGE_SEC ends the patience
        said = f"{proof.verdict}: {proof.right} of {attempt.universe} served as sent"
        if proof.verdict == "UNAUDITED":
            said = f"UNAUDITED: {len(attempt.sent)} of {attempt.universe} accepted; BACKEND_AUDIT=off"
        if proof.verdict not in GOOD:
            self._service.health.bad(f"{said}; {proof.why}")
        elif attempt.published * 2 < attempt.universe:
            reason, symbols = max(attempt.reasons().items(), key=lambda item: len(item[1]))
            self._service.health.bad(f"{said}; most of the universe is left out: {len(symbols)} {reason}")
        else:
            self._service.health.good(said)

    def _is_only_cached(self, proof: Proof) -> bool:
        """Not seen because a cache is before the backend, soon after a cycle that was verified."""
        if proof.verdict != "UNVERIFIED" or proof.cache_age_s is None or self._verified_s is None:
            return False
        return self._clock.monotonic_s() - self._verified_s < self._fresh_s

    def between(self, found: tuple[Set[str], Set[str]]) -> None:
        """What another writer's batch was seen to serve between two of ours, and to have driven out, until the next."""
        (foreign, gone), now_s = found, self._clock.monotonic_s()
        if foreign:
            self._foreign_s = now_s
            self._metrics.foreign_looks.inc()
            counts = {"foreignSymbols": str(len(foreign)), "foreignGone": str(len(gone))}
            self._service.facts.update(foreignAt=iso(self._clock.now_ms()), **counts)
            self._service.health.aside(BETWEEN, symbols=len(foreign), names=first_names(foreign, 5), gone=len(gone))
        elif self._foreign_s is not None and now_s - self._foreign_s > FOREIGN_S:
            self._foreign_s = None
            self._service.health.over(BETWEEN)

    def slow(self, count: int, first: str, post_s: float, interval_s: float) -> None:
        """Late sweeps were let go. The poller need not sweep faster than the backend takes."""
        advice = f"OI_MIN_INTERVAL_SEC={round(post_s * 2 + 0.5)} would spare the exchange what nobody is shown"
        self._service.health.aside(SLOW, count=count, first=first, post_s=post_s, interval_s=interval_s, advice=advice)

    def backlog(self, count: int) -> None:
        self._metrics.backlog.set(count)
        self._service.facts["backlog"] = str(count)

    def silence(self, seconds: float) -> None:
        self._service.health.bad("no sweep lands: is oi_poller running?", f"none for {seconds:.0f} s")

    def unblocked(self) -> None:
        """What kept batches from the backend is over, and there is none to send."""
        if self._service.facts.get("blocked"):
            self._service.facts["blocked"] = ""
            self._service.health.bad("waiting for the next sweep")

    def trouble(self, what: str, error: Exception) -> None:
        """No batch reaches the backend."""
        self._service.facts["blocked"] = f"{what}: {error}"[:200]
        self._service.health.bad(what, f"{error}"[:200])

    def complain(self, what: str, error: Exception, **facts: object) -> None:
        """Something else does not work. A refused key is one matter, whoever met it."""
        if isinstance(error, Refused):
            self._service.health.aside(REFUSED, cause=f"{error}"[:200], job=what)
        else:
            self._service.health.aside(what, error=str(error), **facts)
