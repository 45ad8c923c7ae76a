"""A cycle's outcome, told the same way in the log, the metrics, ``/healthz`` and the heartbeat. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import get_args

from services.publisher.audit import Proof, Verdict, reasons
from services.publisher.metrics import Metrics
from shared.agreed import FOREIGN_S
from shared.clock import iso
from shared.errors import Refused, WireError
from shared.logs import EventLog, first_names
from shared.service import Service

REFUSED = "the backend refuses everything"
SLOW = "sweeps thinned: the backend is slower than they land"
BETWEEN = "another writer: between two batches values are served that nobody here sent"
UNSERVED = ("missing", "outdated", "unreadable", "foreign")
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

    def cycle(self, proof: Proof, merges: str, *, late: bool, backlog: int) -> None:
        now_ms = self._clock.now_ms()
        if proof.audit.verdict == "VERIFIED":
            self._verified_s = self._clock.monotonic_s()
        self._count(proof, now_ms)
        self._log(proof, now_ms, {"late": "yes" if late else "no", "backlog": backlog} if late or backlog else {})
        self._judge(proof)
        self._service.facts["backendMerges"] = merges
        self.backlog(backlog)

    def _count(self, proof: Proof, now_ms: int) -> None:
        attempt, audit, metrics = proof.attempt, proof.audit, self._metrics
        metrics.close_books(attempt.published, reasons(attempt))
        metrics.cycles.labels(audit.verdict).inc()
        for verdict in get_args(Verdict):
            metrics.verdict.labels(verdict).set(verdict == audit.verdict)
        metrics.sent.set(len(attempt.sent))
        metrics.cache_age.set(proof.cache_age_s or 0)
        metrics.unstored.set(0 if proof.stored is None else max(0, len(attempt.sent) - proof.stored))
        if audit.verdict == "VERIFIED":
            metrics.last_verified.set(now_ms / 1000)
        if proof.snapshot is None:
            return  # what is served is not known; the gauges keep what was last seen
        metrics.served.set(audit.right)
        self._served_received = [ms for key, ms in attempt.received.items() if key not in audit.wrong]
        metrics.ghosts.set(len(audit.ghosts))
        for reason in UNSERVED:
            metrics.unserved.labels(reason).set(len(getattr(audit, reason)))
        if proof.snapshot.as_of_ms is not None:
            metrics.served_batch.set(proof.snapshot.as_of_ms / 1000)
        if proof.snapshot.unreadable:
            unreadable = WireError("served_value", f"no numbers: {first_names(proof.snapshot.unreadable)}")
            metrics.bad("backend", unreadable, len(proof.snapshot.unreadable))

    def _old_symbols(self) -> int:
        """Asked at each scrape, so that the answer ages with what is served though nothing happens here."""
        now_ms = self._clock.now_ms()
        return sum(now_ms - received_ms > OLD_MS for received_ms in self._served_received)

    def _log(self, proof: Proof, now_ms: int, extra: Mapping[str, object]) -> None:
        attempt, audit = proof.attempt, proof.audit
        facts: dict[str, object] = {
            "verdict": audit.verdict,
            "served": audit.right if proof.snapshot is not None else "unknown",
            "sent": len(attempt.sent),
            "universe": attempt.universe,
            "left_out": len(attempt.left_out),
            "failed": len(attempt.failed),
            "ghosts": len(audit.ghosts),
            "age_s": (now_ms - attempt.batch_ms) / 1000,
            "post_ms": round(proof.post_s * 1000),
            "sweep": attempt.sweep_id,
            **extra,
        }
        if proof.cache_age_s is not None:
            facts["cache_age_s"] = proof.cache_age_s
        if proof.why:
            facts["why"] = proof.why
        facts |= {reason: f"{len(symbols)}:{first_names(symbols, 5)}" for reason, symbols in reasons(attempt).items()}
        say = log.info if audit.verdict in {"VERIFIED", "UNAUDITED"} else log.warning
        say("cycle", **facts)

    def _judge(self, proof: Proof) -> None:
        attempt, audit = proof.attempt, proof.audit
        said = f"{audit.verdict}: {audit.right} of {attempt.universe} served as sent"
        if audit.verdict == "UNAUDITED":
            said = f"UNAUDITED: {len(attempt.sent)} of {attempt.universe} accepted; BACKEND_AUDIT=off"
        self._service.facts.update(
            verdict=audit.verdict,
            served=str(audit.right) if proof.snapshot is not None else "unknown",
            sent=str(len(attempt.sent)),
            universe=str(attempt.universe),
            leftOut=str(len(attempt.left_out)),
            failed=str(len(attempt.failed)),
            ghosts=str(len(audit.ghosts)),
            batch=iso(attempt.batch_ms),
            stored="unknown" if proof.stored is None else str(proof.stored),
            cacheAgeS="" if proof.cache_age_s is None else f"{proof.cache_age_s:.0f}",
            why=proof.why,
            blocked="",
        )
        if self._is_only_cached(proof):
            return  # a cache hides this one; VERIFIED_MAX_AGE_SEC ends the patience
        if audit.verdict not in {"VERIFIED", "UNAUDITED"}:
            self._service.health.bad(f"{said}; {proof.why}")
        elif attempt.published * 2 < attempt.universe:
            worst = max(reasons(attempt).items(), key=lambda item: len(item[1]))
            self._service.health.bad(f"{said}; most of the universe is left out: {len(worst[1])} {worst[0]}")
        else:
            self._service.health.good(said)

    def _is_only_cached(self, proof: Proof) -> bool:
        """Not seen because a cache is before the backend, soon after a cycle that was verified."""
        if proof.audit.verdict != "UNVERIFIED" or proof.cache_age_s is None or self._verified_s is None:
            return False
        return self._clock.monotonic_s() - self._verified_s < self._fresh_s

    def between(self, foreign: Set[str]) -> None:
        """What another writer was seen to serve between two batches; the next one of ours overwrites it."""
        now_s = self._clock.monotonic_s()
        if foreign:
            self._foreign_s = now_s
            self._metrics.foreign_looks.inc()
            self._metrics.unserved.labels("foreign").set(len(foreign))
            self._service.facts.update(foreignAt=iso(self._clock.now_ms()), foreignSymbols=str(len(foreign)))
            self._service.health.aside(BETWEEN, symbols=len(foreign), names=first_names(foreign, 5))
        elif self._foreign_s is not None and now_s - self._foreign_s > FOREIGN_S:
            self._foreign_s = None
            self.over(BETWEEN)

    def slow(self, count: int, first: str, post_s: float, interval_s: float) -> None:
        """Late sweeps were let go. The poller need not sweep faster than the backend takes."""
        advice = f"OI_MIN_INTERVAL_SEC={round(post_s * 2 + 0.5)} would spare the exchange what nobody is shown"
        facts = {"count": count, "first": first, "post_s": post_s, "interval_s": interval_s, "advice": advice}
        self._service.health.aside(SLOW, **facts)

    def over(self, what: str) -> None:
        self._service.health.over(what)

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
