"""One batch: choose its rows, note it, post it, and post again where that can heal what is served.

A batch in flight is an `Attempt` in Redis with the count of its POSTs that may have arrived. It is forgotten only when
its outcome is known, or when not one of them can have had an effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.publisher import audit as audits
from services.publisher.attempt import Attempt
from services.publisher.audit import Audit, Proof
from services.publisher.backend import Backend
from services.publisher.join import Books, Record
from services.publisher.ledger import Ledger
from services.publisher.limits import BatchLimits
from services.publisher.metrics import Metrics
from services.publisher.outbox import Outbox
from services.publisher.readback import ReadBack
from services.publisher.settings import Settings
from services.publisher.wire import Accepted, Away, InDoubt, TooLarge
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected, Transient
from shared.logs import EventLog
from shared.model import Sweep, backend_key

REPOSTS = 3  # in a row, of batches that were accepted and are not served; after that, one POST a sweep
SMALLEST = "the backend answers 413 to a single row; check the body limit of what stands before it"
LOOK_AGAIN_S = 0.25  # after a look that shows less than half of what was accepted
log = EventLog("publisher")


class Draft(NamedTuple):
    """What is to be delivered: one sweep, joined."""

    entry_id: str
    sweep: Sweep
    books: Books


class _Posted(NamedTuple):
    attempt: Attempt
    pieces: list[set[str]]  # in the backend's spelling, in the order in which they were sent
    answers: list[Accepted]
    took_s: float

    @property
    def stored(self) -> int | None:
        told = [answer.stored for answer in self.answers]
        return None if None in told else sum(count or 0 for count in told)


@dataclass
class Batches:
    """Posts batches and proves them, one at a time."""

    settings: Settings
    backend: Backend
    readback: ReadBack
    outbox: Outbox
    ledger: Ledger
    limits: BatchLimits
    metrics: Metrics
    clock: Clock
    post_s: float = 0.0  # how long the last POST took
    _reposts: int = field(default=0, init=False)

    async def deliver(self, draft: Draft) -> Proof:
        """Post it, and again while another POST can heal what is served. Raises what the last POST raised."""
        rows = sorted(draft.books.records, key=lambda row: row.notional)
        if not rows:
            nothing = Audit("PARTIAL", 0)
            return Proof(self._attempt(draft, [], None), nothing, None, audits.shortfall(nothing, 0))
        while True:
            posted = await self._post(draft, rows)
            pause_s = LOOK_AGAIN_S * 2**self._reposts
            proof = await self.readback.prove(posted.attempt, posted.pieces, pause_s)
            if not await self._is_healed_by_another(posted, proof):
                if len(posted.pieces) > 1 and proof.audit.right == len(proof.attempt.sent):
                    self.limits.saw(merged=True)  # the pieces are served side by side
                return self._with_answers(proof, posted)

    async def find(self, attempt: Attempt) -> Proof | None:
        """The attempt of unknown outcome as it is served; None when it has to be posted again. Raises `InDoubt`."""
        proof = await self.readback.find(attempt)
        if proof:  # how long it took, as far as anybody can tell: the process, or the backend, was away for some of it
            took_s = (self.clock.now_ms() - attempt.posted_ms) / 1000
            self.post_s = max(self.post_s, min(took_s, 2 * self.settings.timeout_s))
        return proof

    def learn_from(self, proof: Proof) -> None:
        merged = self.readback.learn_from(proof)
        if merged is not None:
            self.limits.saw(merged=merged)

    async def _post(self, draft: Draft, rows: Sequence[Record]) -> _Posted:
        """Note it and send it, in as few pieces as the backend takes."""
        earlier = self.outbox.attempt  # of the same sweep: any other was settled, or made way
        chosen = self.limits.choose(rows, self.clock.now_ms())
        attempt = self._attempt(draft, chosen, earlier)
        self.ledger.add_sent(attempt.sent)
        await self.outbox.note(attempt, self.ledger.sent)
        begun_s = self.clock.monotonic_s()
        pieces: list[set[str]] = []
        answers: list[Accepted] = []
        rest = chosen
        while rest:
            piece = rest[: self.limits.size(len(rest), self.clock.now_ms())]
            try:
                answers.append(await self._ingest(piece, attempt, len(chosen)))
            except TooLarge as e:
                await self._learn_size(len(piece), e)
                if not pieces and self.limits.merges == "no":  # then fewer rows have to be chosen
                    await self.outbox.note(earlier)
                    return await self._post(draft, rows)
                continue
            except InDoubt as e:
                if e.timed_out:  # it may be at work on it for as long again
                    await self.outbox.note(msgspec.structs.replace(attempt, patience_s=2 * self.settings.timeout_s))
                raise
            except (Transient, Refused, Rejected):
                await self.outbox.note(msgspec.structs.replace(attempt, patience_s=0.0) if pieces else earlier)
                raise
            pieces.append({backend_key(row.symbol) for row in piece})
            rest = rest[len(piece) :]
        self.post_s = self.clock.monotonic_s() - begun_s
        return _Posted(attempt, pieces, answers, self.post_s)

    def _attempt(self, draft: Draft, rows: Sequence[Record], earlier: Attempt | None) -> Attempt:
        chosen = {row.symbol for row in rows}
        sweep, books = draft.sweep, draft.books
        received = {s: sweep.readings[s].open_interest.received_ms for s in chosen}
        return Attempt(
            entry_id=draft.entry_id,
            sweep_id=sweep.sweep_id,
            batch_ms=sweep.ended_ms,
            posted_ms=self.clock.now_ms(),
            patience_s=0.5 + 2 * self.post_s,
            before_ms=earlier.before_ms if earlier else self.readback.before_ms,
            sent={backend_key(row.symbol): row.notional for row in rows},
            unsent=[row.symbol for row in books.records if row.symbol not in chosen],
            left_out=books.left_out,
            failed=sorted(books.failed),
            received={backend_key(symbol): ms for symbol, ms in received.items()},
            posts=1 + (earlier.posts if earlier else draft.entry_id in self.outbox.doubted),
        )

    async def _ingest(self, rows: Sequence[Record], attempt: Attempt, total: int) -> Accepted:
        begun_s = self.clock.monotonic_s()
        outcome = "in_doubt"
        try:
            accepted = await self.backend.ingest(rows, attempt.batch_ms, total, funding=self.settings.send_funding)
            outcome = "accepted"
        except (Away, RateLimited, Refused, Rejected) as e:
            outcome = outcome_of(e)
            if isinstance(e, TooLarge) and len(rows) == 1:
                raise Refused(SMALLEST) from e
            raise
        finally:
            self.metrics.posts.labels(outcome).inc()
            self.metrics.post_duration.observe(self.clock.monotonic_s() - begun_s)
        self.limits.taken(len(rows))
        refused = max(accepted.refused, 0 if accepted.stored is None else len(rows) - accepted.stored)
        if refused:
            self.metrics.rejected_rows.inc(refused)
            log.warning("the backend refused rows", sweep=attempt.sweep_id, rows=refused, errors=accepted.errors)
        return accepted

    async def _learn_size(self, rows: int, error: TooLarge) -> None:
        self.limits.too_large(rows, self.clock.now_ms())
        trying = self.limits.size(rows, self.clock.now_ms())
        log.warning("the backend takes smaller batches only", refused=rows, trying=trying, error=str(error))
        await self.outbox.learn(self.limits.as_fields())

    async def _is_healed_by_another(self, posted: _Posted, proof: Proof) -> bool:
        """Whether to post it again: the backend kept the last piece alone, or accepted it and serves none of it."""
        if audits.is_replaced(posted.pieces, proof.audit) and proof.snapshot:
            self.limits.merges = "no"  # it was looked at twice
            await self.outbox.learn(self.limits.as_fields())
            size = self.limits.size(proof.attempt.published, self.clock.now_ms())
            then = "single batches" if size >= proof.attempt.published else f"the {size} largest, its size limit"
            log.warning(
                f"the backend replaced its cache: {proof.audit.right} of {len(proof.attempt.sent)} served", then=then
            )
            return True
        if proof.is_unserved and self._reposts < REPOSTS:
            self._reposts += 1
            log.warning("accepted and not served: posting again", sweep=proof.attempt.sweep_id, why=proof.why)
            return True
        if proof.audit.right and not proof.is_unserved:
            self._reposts = 0
        return False

    def _with_answers(self, proof: Proof, posted: _Posted) -> Proof:
        """What the backend said of its database goes into the verdict: served is not stored."""
        stored, sent = posted.stored, len(proof.attempt.sent)
        proof = proof._replace(post_s=posted.took_s, post_status=posted.answers[-1].status, stored=stored)
        if stored is None or stored * 2 >= sent:
            return proof
        said = posted.answers[-1].errors or "it does not say why"
        return proof.short(f"served, not stored: the backend's database took {stored} of {sent} rows ({said:.200})")


def outcome_of(error: Exception) -> str:
    """The label of ``pipeline_posts_total``."""
    names = {"InDoubt": "in_doubt", "TooLarge": "too_large", "RateLimited": "rate_limited"}
    return names.get(type(error).__name__, type(error).__name__.lower())
