"""A cycle's outcome, told the same way in the log, the metrics, ``/healthz``, the heartbeat and ``oi:served``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, get_args

from services.publisher.attempt import Attempt
from services.publisher.audit import Audit, Ledger, Verdict, served_rows
from services.publisher.join import FETCH_FAILED
from services.publisher.metrics import Metrics
from services.publisher.outbox import Outbox
from services.publisher.wire import Snapshot
from shared.clock import Clock, iso
from shared.errors import Refused, WireError
from shared.logs import EventLog, OncePer
from shared.model import Served
from shared.runner import Service

NAMES = 5
SAY_AGAIN_S = 60.0
OLD_MS = 30_000  # the promise of freshness
log = EventLog("publisher")


class Proof(NamedTuple):
    """What became of one batch."""

    attempt: Attempt
    audit: Audit
    snapshot: Snapshot | None  # None: nothing could be read back
    why: str  # one line; empty when there is nothing to add
    post_s: float = 0.0
    post_status: int = 0  # of HTTP; 0: none came back, or nothing was sent


def names(symbols: Iterable[str]) -> str:
    """The first few, and how many there are: a line stays a line."""
    listed = sorted(symbols)
    return ",".join(listed[:NAMES]) + (f",+{len(listed) - NAMES}" if len(listed) > NAMES else "")


def reasons(attempt: Attempt) -> dict[str, list[str]]:
    """Reason -> its symbols, `fetch_failed` included."""
    named: dict[str, list[str]] = {}
    for symbol, reason in attempt.left_out.items():
        named.setdefault(reason, []).append(symbol)
    if attempt.failed:
        named[FETCH_FAILED] = attempt.failed
    return named


def shortfall(audit: Audit, sent: int) -> str:
    """What is not as it should be, in words; empty when all of it is."""
    parts = [
        f"{len(keys)} {what} ({names(keys)})"
        for what, keys in (
            ("served with values nobody here sent", audit.foreign),
            ("not served", audit.missing),
            ("still served with an earlier value", audit.outdated),
        )
        if keys
    ]
    if not audit.as_of_right:
        parts.append("asOf is not this batch's")
    if not sent:
        parts.append("nothing was fit to be sent")
    return "; ".join(parts)


class Report:
    def __init__(self, service: Service, outbox: Outbox, ledger: Ledger, metrics: Metrics) -> None:
        self._service = service
        self._clock: Clock = service.clock
        self._outbox = outbox
        self._ledger = ledger
        self._metrics = metrics
        self._once = OncePer(service.clock, SAY_AGAIN_S)
        self._served_received: list[int] = []  # of each symbol served right: when its open interest was received
        metrics.old.set_function(self._old_symbols)

    async def cycle(self, proof: Proof, *, late: bool, backlog: int) -> None:
        now_ms = self._clock.now_ms()
        rows: Mapping[str, Served] | None = None
        if proof.snapshot is not None:
            universe = proof.attempt.universe_keys()
            self._ledger.see(proof.snapshot, proof.audit.foreign, universe, now_ms)
            rows = served_rows(proof.attempt.sent, proof.snapshot, proof.audit, self._ledger, now_ms)
        self._count(proof, now_ms)
        self._log(proof, now_ms, {"late": "yes" if late else "no", "backlog": backlog} if late or backlog else {})
        self._judge(proof)
        self.backlog(backlog)
        left_out = {**proof.attempt.left_out, **dict.fromkeys(proof.attempt.failed, FETCH_FAILED)}
        await self._outbox.report(left_out, rows)

    def _count(self, proof: Proof, now_ms: int) -> None:
        attempt, audit, metrics = proof.attempt, proof.audit, self._metrics
        metrics.close_books(attempt.published, reasons(attempt))
        metrics.cycles.labels(audit.verdict).inc()
        for verdict in get_args(Verdict):
            metrics.verdict.labels(verdict).set(verdict == audit.verdict)
        metrics.sent.set(len(attempt.sent))
        if audit.verdict == "VERIFIED":
            metrics.last_verified.set(now_ms / 1000)
        if proof.snapshot is None:
            return  # what is served is not known; the gauges keep what was last seen
        metrics.served.set(audit.right)
        wrong = audit.missing | audit.outdated | audit.foreign
        self._served_received = [ms for key, ms in attempt.received.items() if key not in wrong]
        metrics.ghosts.set(len(audit.ghosts))
        for reason in ("missing", "outdated", "foreign"):
            metrics.unserved.labels(reason).set(len(getattr(audit, reason)))
        if proof.snapshot.as_of_ms is not None:
            metrics.served_batch.set(proof.snapshot.as_of_ms / 1000)
        if proof.snapshot.unreadable:
            unreadable = WireError("served_value", f"{proof.snapshot.unreadable} served values are no numbers")
            metrics.bad("backend", unreadable, proof.snapshot.unreadable)

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
        }
        facts |= extra
        if proof.why:
            facts["why"] = proof.why
        facts |= {reason: f"{len(symbols)}:{names(symbols)}" for reason, symbols in reasons(attempt).items()}
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
            blocked="",
        )
        if audit.verdict not in {"VERIFIED", "UNAUDITED"}:
            self._service.health.bad(f"{said}; {proof.why}")
        elif attempt.published * 2 < attempt.universe:
            worst = max(reasons(attempt).items(), key=lambda item: len(item[1]))
            self._service.health.bad(f"{said}; most of the universe is left out: {len(worst[1])} {worst[0]}")
        else:
            self._service.health.good(said)

    def backlog(self, count: int) -> None:
        self._metrics.backlog.set(count)
        self._service.facts["backlog"] = str(count)

    def silence(self, seconds: float) -> None:
        self._service.health.bad(f"no sweep has landed for {seconds:.0f} s: is oi_poller running?")
        held = self._once.due("silence")
        if held is not None:
            log.warning("no sweep lands", seconds=seconds, check="oi_poller")

    def trouble(self, what: str, error: Exception, **facts: object) -> None:
        """Said, and the job is not being done."""
        said = f"{what}: {error}"[:200]
        self._service.facts["blocked"] = said
        self._service.health.bad(said)
        self.complain(what, error, **facts)

    def complain(self, what: str, error: Exception, **facts: object) -> None:
        """Said when it begins and once a minute while it lasts; a refused key is one matter, whoever met it."""
        held = self._once.due("refused" if isinstance(error, Refused) else what)
        if held is not None:
            more = {"held_back": held} if held else {}
            log.warning(what, error=str(error), **facts, **more)
