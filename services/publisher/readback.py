"""What is served of a batch: looked at after its POST, compared, and looked at again where one look proves nothing."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from services.publisher.attempt import Attempt
from services.publisher.audit import Proof, audit, merged, was_taken
from services.publisher.backend import Backend
from services.publisher.ledger import Ledger
from services.publisher.outbox import Outbox
from services.publisher.wire import UNREADABLE_S, Away, InDoubt, Snapshot
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError

BETWEEN_S = 1.0  # that a look between two batches may take: the newest sweep waits for it
CACHE_STEP_S = 1.0  # between looks at what a cache before the backend serves
CACHE_WAIT_S = 60.0  # for it to expire; while nothing newer waits to be posted
TWO_CACHES = "values of two batches are served in turn: it looks like two backend instances, each with its own cache"


@dataclass
class ReadBack:
    """``audited``: BACKEND_AUDIT. ``before_ms``: the asOf last seen served."""

    audited: bool
    backend: Backend
    outbox: Outbox
    clock: Clock
    ledger: Ledger = field(default_factory=Ledger, init=False)
    before_ms: int | None = field(default=None, init=False)
    _seen: frozenset[str] = field(default=frozenset(), init=False)  # symbols last seen served with values of ours

    async def first_look(self) -> None:
        """What is served before our first batch was left by whoever came before us: known, and not foreign.

        Whether it was another or we, nobody can tell: Redis may have been emptied, or set back.
        """
        if self.audited:
            snapshot = await self.backend.read_served()
            self.before_ms = snapshot.as_of_ms
            self.ledger.adopt(snapshot.values, self.clock.now_ms())

    async def find(self, attempt: Attempt) -> Proof | None:
        """The attempt of unknown outcome as it is served; None when it has to be posted again.

        Raises `InDoubt` while the backend may still be at work on it, `Away` while what is served cannot be seen.
        """
        if not self.audited:
            return None
        waited_s = (self.clock.now_ms() - attempt.posted_ms) / 1000
        try:
            snapshot = await self.backend.read_served()
        except RateLimited:
            raise
        except (Away, Refused, Rejected, WireError) as e:
            is_away = isinstance(e, Away) and not e.answered
            if is_away or 0 <= waited_s < max(attempt.patience_s, UNREADABLE_S):
                raise Away(f"cannot look whether it took the batch: {e}", answered=True) from e
            return None
        now_ms = self.clock.now_ms()
        if was_taken(attempt, snapshot, now_ms):
            return audit(attempt, snapshot, self.ledger, now_ms).because("found served after an unclear answer")
        if self._is_from_before(attempt.posted_ms, snapshot) and 0 <= waited_s < CACHE_WAIT_S:
            raise InDoubt(f"what is served comes from a cache, {snapshot.cache_age_s:.0f} s old", answered=True)
        if 0 <= waited_s < attempt.patience_s:
            raise InDoubt(f"sweep {attempt.sweep_id} is not served yet", answered=True)
        return None

    async def look_between(self) -> tuple[Set[str], Set[str]]:
        """Between two batches: what is served with values that nobody here sent, and what of ours is not served then.

        Right after a POST of ours it is ours that is served, so that look hardly ever meets another writer. It passes
        caches by: what they kept of it would hide the next batch.
        """
        try:
            snapshot = await self.backend.read_served(BETWEEN_S, past_caches=True) if self.audited else None
        except (Transient, Refused, Rejected, WireError):
            return frozenset(), frozenset()  # the look after the next POST tells of it
        if snapshot is None or snapshot.cache_age_s is not None:
            return frozenset(), frozenset()
        foreign = {key for key, usd in snapshot.values.items() if not self.ledger.is_ours(key, usd)}
        return foreign, self._seen - snapshot.values.keys()

    async def prove(self, attempt: Attempt, pieces: Sequence[Set[str]], pause_s: float) -> Proof:
        """Look; where less than half is served, once more: a backend may need a moment, or there may be two of them."""
        proof = await self._read_back(attempt)
        if not (proof.is_unserved or proof.is_replaced(pieces)):
            return proof
        await self.clock.sleep(pause_s)
        again = await self._read_back(attempt)
        if again.is_unserved or again.is_replaced(pieces):
            return again
        for _ in range(2):
            look = await self._read_back(attempt)
            if look.is_unserved:
                return again.short(TWO_CACHES)
        return again

    async def _read_back(self, attempt: Attempt) -> Proof:
        """What is served, seen after the POST. An answer that a cache held before it proves nothing."""
        if not self.audited:
            return Proof(attempt, "UNAUDITED", "BACKEND_AUDIT=off")
        answered_ms, begun_s = self.clock.now_ms(), self.clock.monotonic_s()
        is_hidden = False
        while True:
            try:
                snapshot = await self.backend.read_served()
            except (Transient, Refused, Rejected, WireError) as e:
                return Proof(attempt, "UNVERIFIED", f"could not read back: {e}")
            proof = audit(attempt, snapshot, self.ledger, self.clock.now_ms())
            is_old = self._is_from_before(answered_ms, snapshot)
            if not is_old and proof.right * 2 < len(attempt.sent):  # it was lost, or what hides it does not say so
                is_hidden = is_hidden or await self._is_behind_a_cache(attempt)
                is_old = is_hidden
            if proof.verdict == "VERIFIED" or not is_old:
                return proof
            if self.clock.monotonic_s() - begun_s > CACHE_WAIT_S or not await self.outbox.is_newest(attempt.entry_id):
                age_s = snapshot.cache_age_s or self.clock.monotonic_s() - begun_s  # at least, where it does not tell
                why = f"what is served comes from a cache, {age_s:.0f} s old: older than this batch"
                return Proof(attempt, "UNVERIFIED", why, cache_age_s=age_s)
            await self.clock.sleep(CACHE_STEP_S)

    async def _is_behind_a_cache(self, attempt: Attempt) -> bool:
        """Whether the backend itself shows the batch that is not served: many a cache does not say that it is one.

        Looked at twice, as two instances of the backend may answer in turn.
        """
        try:
            looks = [await self.backend.read_served(past_caches=True) for _ in range(2)]
        except (Transient, Refused, Rejected, WireError):
            return False
        return all(was_taken(attempt, look, self.clock.now_ms()) for look in looks)

    def _is_from_before(self, instant_ms: int, snapshot: Snapshot) -> bool:
        """Whether a cache made this answer before that instant; `Age` is in whole seconds, cut."""
        age_s = snapshot.cache_age_s
        return age_s is not None and self.clock.now_ms() - (age_s + 1) * 1000 < instant_ms

    def learn_from(self, proof: Proof) -> bool | None:
        """What a finished cycle teaches: what is served now; returns whether the backend merges, where that shows."""
        attempt, snapshot = proof.attempt, proof.snapshot
        if snapshot is None:
            return None
        self.before_ms = snapshot.as_of_ms
        self.ledger.see(snapshot.values, proof.foreign, attempt.universe_keys(), self.clock.now_ms())
        seen, self._seen = self._seen, frozenset(snapshot.values.keys() - proof.foreign)
        return merged(attempt, snapshot, seen) if proof.is_whole else None
