"""Post a batch, read back what is served, and post again where that can heal it.

Nothing here decides what is delivered next, or acknowledges anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.publisher import audit as audits
from services.publisher.attempt import Attempt
from services.publisher.audit import Audit, Ledger
from services.publisher.backend import Backend
from services.publisher.join import Record
from services.publisher.outbox import Outbox
from services.publisher.posting import Posted, Poster, Sizes
from services.publisher.report import Proof, Report, shortfall
from services.publisher.wire import Away, Snapshot
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.model import backend_key

REPOSTS = 3  # in a row, of batches that were accepted and are not served; after that, one POST a sweep
LOOKS = 10  # answers with nothing readable in them, before an attempt in doubt is given up and posted again
LOST_WAIT_S = 0.25
log = EventLog("publisher")
Note = Callable[[Sequence[Record]], Attempt]


class Prover:
    def __init__(
        self,
        backend: Backend,
        poster: Poster,
        sizes: Sizes,
        outbox: Outbox,
        ledger: Ledger,
        report: Report,
        clock: Clock,
        *,
        audit: bool,
    ) -> None:
        self._backend = backend
        self._poster = poster
        self._sizes = sizes
        self._outbox = outbox
        self._ledger = ledger
        self._report = report
        self._clock = clock
        self._audited = audit
        self._reposts = 0
        self._looks = 0
        self.before_ms: int | None = None  # the asOf last seen served

    async def first_look(self) -> None:
        """Whatever is served before our first batch was left by others before us: known, and not foreign."""
        if not self._audited:
            return
        try:
            snapshot = await self._backend.read_served()
        except (Transient, Refused, Rejected, WireError) as e:
            self._report.complain("nothing to read back at the start", e, backend=self._backend.origin)
            return
        self.before_ms = snapshot.as_of_ms
        if self._ledger.empty:
            self._ledger.adopt(snapshot.values, self._clock.now_ms())

    async def find(self, attempt: Attempt) -> Proof | None:
        """The attempt of unknown outcome as it is served; None when it is not, or when nobody can tell."""
        snapshot = await self._look() if self._audited else None
        if snapshot is None or not audits.was_taken(attempt.as_sent, snapshot, self._clock.now_ms()):
            return None
        proof = self._compare(attempt, snapshot)
        return proof._replace(why="; ".join(filter(None, ("found served after an unclear answer", proof.why))))

    async def _look(self) -> Snapshot | None:
        try:
            snapshot = await self._backend.read_served()
        except RateLimited:
            raise
        except (Away, Refused, Rejected, WireError) as e:
            self._looks += not isinstance(e, Away) or e.answered
            if self._looks < LOOKS:
                raise Away(f"cannot look whether it took the batch: {e}", answered=True) from e
            snapshot = None
        self._looks = 0
        return snapshot

    async def post(self, rows: Sequence[Record], note: Note, *, again: bool) -> Proof:
        while True:
            posted = await self._poster.post(rows, note, again=again)
            self._ledger.add_sent(posted.attempt.sent)
            proof = (await self.read_back(posted.attempt))._replace(post_s=posted.took_s, post_status=posted.status)
            again = True
            if _is_replaced(posted, proof):
                await self._learn_replaced(proof.audit.right, len(rows))
            elif self._is_lost(proof):
                self._reposts += 1
                await self._clock.sleep(LOST_WAIT_S * 2**self._reposts)
                proof = (await self.read_back(posted.attempt))._replace(post_s=posted.took_s, post_status=posted.status)
                if not self._is_unserved(proof):
                    return proof
                log.warning("accepted and not served: posting again", sweep=posted.attempt.sweep_id, why=proof.why)
            else:
                self._reposts = 0 if proof.audit.right else self._reposts
                return proof

    async def read_back(self, attempt: Attempt) -> Proof:
        if not self._audited:
            return Proof(attempt, Audit("UNAUDITED", 0), None, "BACKEND_AUDIT=off")
        try:
            snapshot = await self._backend.read_served()
        except (Transient, Refused, Rejected, WireError) as e:
            return Proof(attempt, Audit("UNVERIFIED", 0), None, f"could not read back: {e}")
        return self._compare(attempt, snapshot)

    def _compare(self, attempt: Attempt, snapshot: Snapshot) -> Proof:
        keys = attempt.universe_keys()
        result = audits.audit(attempt.as_sent, snapshot, keys, self._ledger, self._clock.now_ms())
        self.before_ms = snapshot.as_of_ms
        why = shortfall(result, len(attempt.sent))
        if not attempt.unsent:
            return Proof(attempt, result, snapshot, why)
        size = len(attempt.sent)
        limit = (
            f"the backend replaces its cache and takes no more than {size} rows a POST: "
            f"of {attempt.published} the {size} largest by notional are sent"
        )
        verdict = "PARTIAL" if result.verdict == "VERIFIED" else result.verdict
        return Proof(attempt, result._replace(verdict=verdict), snapshot, "; ".join(filter(None, (limit, why))))

    async def _learn_replaced(self, served: int, sent: int) -> None:
        self._sizes.replaces = True
        await self._outbox.learn(replaces=1)
        limit = self._sizes.limit(self._clock.now_ms())
        then = f"its size limit makes single batches impossible: the {limit} largest" if limit else "single batches"
        log.warning(f"the backend replaced its cache: {served} of {sent} served", then=then)

    def _is_lost(self, proof: Proof) -> bool:
        """Worth another POST, a few times."""
        return self._is_unserved(proof) and self._reposts < REPOSTS

    def _is_unserved(self, proof: Proof) -> bool:
        """Accepted, and less than half of it served, though nobody else wrote."""
        right = proof.audit.right
        return proof.snapshot is not None and right * 2 < len(proof.attempt.sent) and not proof.audit.foreign


def _is_replaced(posted: Posted, proof: Proof) -> bool:
    chunks = [{backend_key(symbol) for symbol in chunk} for chunk in posted.chunks]
    return proof.snapshot is not None and audits.is_replaced(chunks, proof.audit)
