"""One batch: choose its rows, note it, post it, and post again where that can heal what is served.

A batch in flight is an `Attempt` in Redis with the count of its POSTs that may have arrived. It is forgotten only when
its outcome is known, or when not one of them can have had an effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.publisher.attempt import Attempt, Kept
from services.publisher.audit import NOTHING_FIT, Proof, served_rows
from services.publisher.backend import Backend
from services.publisher.join import Books, Record
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
OUTCOMES: dict[type[Exception], str] = {  # labels of pipeline_posts_total
    Away: "away",
    InDoubt: "in_doubt",
    RateLimited: "rate_limited",
    Refused: "refused",
    Rejected: "rejected",
    TooLarge: "too_large",
}
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


@dataclass
class Batches:
    """Posts batches and proves them, one at a time; knows the backend's limits and its pace."""

    settings: Settings
    backend: Backend
    readback: ReadBack
    outbox: Outbox
    metrics: Metrics
    clock: Clock
    post_s: float = field(default=0.0, init=False)  # how long the last POST took
    _reposts: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.limits = BatchLimits(self.settings.max_rows)

    async def recall(self, kept: Kept) -> None:
        """Take up what an earlier process learned and counted, and what it saw served."""
        self.limits.recall(kept)
        self.post_s = kept.post_s
        self.readback.ledger.recall(await self.outbox.last_served(), kept.sent)
        self.metrics.duplicates.inc(kept.duplicates)

    async def deliver(self, draft: Draft) -> Proof:
        """Post it, and again while another POST can heal what is served. Raises what the last POST raised."""
        rows = sorted(draft.books.records, key=lambda row: row.notional)
        if not self.settings.send_funding:
            rows = [msgspec.structs.replace(row, funding_rate=None) for row in rows]
        if not rows:
            return Proof(self._attempt(draft, [], None), "PARTIAL", NOTHING_FIT)
        while True:
            posted = await self._post(draft, rows)
            proof = await self.readback.prove(posted.attempt, posted.pieces, LOOK_AGAIN_S * 2**self._reposts)
            if not self._is_healed_by_another(posted.pieces, proof):
                if len(posted.pieces) > 1 and proof.is_whole:
                    self.limits.saw(merged=True)  # the pieces are served side by side
                return self._with_answers(proof, posted.answers)

    async def find(self, attempt: Attempt) -> Proof | None:
        """The attempt of unknown outcome as it is served; None when it has to be posted again. Raises `Away`."""
        proof = await self.readback.find(attempt)
        if proof:  # how long it took, as far as anybody can tell: the process, or the backend, was away for some of it
            took_s = (self.clock.now_ms() - attempt.posted_ms) / 1000
            self.post_s = max(self.post_s, min(took_s, 2 * self.settings.timeout_s))
        return proof

    async def finish(self, proof: Proof) -> None:
        """It is done with: what it taught is kept, and all that is to be known of it is written in one step."""
        merged = self.readback.learn_from(proof)
        if merged is not None:
            self.limits.saw(merged=merged)
        learned = {"post_s": self.post_s, "post_status": proof.post_status, **self.limits.as_fields()}
        served = served_rows(proof, self.readback.ledger, self.clock.now_ms())
        await self.outbox.finish(proof.attempt, learned, served, keep=proof.is_unstored)
        self.metrics.duplicates.inc(proof.attempt.posts - 1)

    async def _post(self, draft: Draft, rows: Sequence[Record]) -> _Posted:
        """Note it and send it, in as few pieces as the backend takes."""
        earlier = self.outbox.attempt  # of the same sweep: any other was settled, or made way
        chosen = self.limits.choose(rows, self.clock.now_ms())
        attempt = self._attempt(draft, chosen, earlier)
        self.readback.ledger.add_sent(attempt.sent)
        await self.outbox.note(attempt, self.readback.ledger.sent)
        begun_s = self.clock.monotonic_s()
        posted = _Posted(attempt, [], [])
        rest = chosen
        while rest:
            piece = rest[: self.limits.size(len(rest), self.clock.now_ms())]
            try:
                posted.answers.append(await self._ingest(piece, attempt, len(chosen)))
            except TooLarge as e:
                self._learn_size(len(piece), e)
                if not posted.pieces and self.limits.merges == "no":  # then fewer rows have to be chosen
                    await self.outbox.note(earlier)
                    return await self._post(draft, rows)
                continue
            except InDoubt as e:
                if e.timed_out:  # it may be at work on it for as long again
                    await self.outbox.note(msgspec.structs.replace(attempt, patience_s=2 * self.settings.timeout_s))
                raise
            except (Transient, Refused, Rejected):
                in_part = msgspec.structs.replace(attempt, patience_s=0.0)  # nothing of it is under way
                await self.outbox.note(in_part if posted.pieces else earlier)
                raise
            posted.pieces.append({backend_key(row.symbol) for row in piece})
            rest = rest[len(piece) :]
        self.post_s = self.clock.monotonic_s() - begun_s
        return posted

    def _attempt(self, draft: Draft, rows: Sequence[Record], earlier: Attempt | None) -> Attempt:
        sweep, books = draft.sweep, draft.books
        chosen = {row.symbol: backend_key(row.symbol) for row in rows}
        return Attempt(
            entry_id=draft.entry_id,
            sweep_id=sweep.sweep_id,
            batch_ms=sweep.ended_ms,
            posted_ms=self.clock.now_ms(),
            patience_s=0.5 + 2 * self.post_s,
            before_ms=earlier.before_ms if earlier else self.readback.before_ms,
            sent={chosen[row.symbol]: row.notional for row in rows},
            unsent=[row.symbol for row in books.records if row.symbol not in chosen],
            left_out=books.left_out,
            failed=sorted(books.failed),
            received={key: sweep.readings[symbol].open_interest.received_ms for symbol, key in chosen.items()},
            posts=1 + (earlier.posts if earlier else draft.entry_id in self.outbox.doubted),
        )

    async def _ingest(self, rows: Sequence[Record], attempt: Attempt, total: int) -> Accepted:
        begun_s = self.clock.monotonic_s()
        outcome = "in_doubt"
        try:
            accepted = await self.backend.ingest(rows, attempt.batch_ms, total)
            outcome = "accepted"
        except (Away, RateLimited, Refused, Rejected) as e:
            outcome = OUTCOMES[type(e)]
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

    def _learn_size(self, rows: int, error: TooLarge) -> None:
        self.limits.too_large(rows, self.clock.now_ms())
        trying = self.limits.size(rows, self.clock.now_ms())
        log.warning("the backend takes smaller batches only", refused=rows, trying=trying, error=str(error))

    def _is_healed_by_another(self, pieces: Sequence[set[str]], proof: Proof) -> bool:
        """Whether to post it again: the backend kept the last piece alone, or accepted it and serves none of it."""
        attempt = proof.attempt
        if proof.is_replaced(pieces):
            self.limits.merges = "no"  # it was looked at twice
            size = self.limits.size(attempt.published, self.clock.now_ms())
            then = "single batches" if size >= attempt.published else f"the {size} largest, its size limit"
            log.warning(f"the backend replaced its cache: {proof.right} of {len(attempt.sent)} served", then=then)
            return True
        if proof.is_unserved and self._reposts < REPOSTS:
            self._reposts += 1
            log.warning("accepted and not served: posting again", sweep=attempt.sweep_id, why=proof.why)
            return True
        if proof.right and not proof.is_unserved:
            self._reposts = 0
        return False

    def _with_answers(self, proof: Proof, answers: Sequence[Accepted]) -> Proof:
        """What the backend said of its database goes into the verdict: served is not stored."""
        told = [answer.stored for answer in answers if answer.stored is not None]
        stored = sum(told) if len(told) == len(answers) else None
        proof = proof._replace(post_s=self.post_s, post_status=answers[-1].status, stored=stored)
        sent = len(proof.attempt.sent)
        if stored is None or stored * 2 >= sent:
            return proof
        said = answers[-1].errors or "it does not say why"
        return proof.short(f"served, not stored: the backend's database took {stored} of {sent} rows ({said:.200})")
