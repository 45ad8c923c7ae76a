"""Is what is served what was sent? The verdict on one batch, symbol by symbol, and its reasons. Pure.

Symbols are in the backend's spelling here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Literal, NamedTuple

from services.publisher.attempt import Attempt
from services.publisher.join import SKEW_MS
from services.publisher.ledger import Ledger, same
from services.publisher.wire import Snapshot
from shared.logs import first_names
from shared.model import Served

Verdict = Literal["VERIFIED", "PARTIAL", "UNVERIFIED", "FOREIGN", "UNAUDITED"]
NOTHING_FIT = "nothing was fit to be sent"
SAID = {
    "foreign": "served with values nobody here sent",
    "missing": "not served",
    "outdated": "still served with an earlier value",
    "unreadable": "served in a form that cannot be read",
}


class Proof(NamedTuple):
    """What became of one batch."""

    attempt: Attempt
    verdict: Verdict
    why: str = ""  # one line; empty when there is nothing to add
    snapshot: Snapshot | None = None  # None: nothing could be read back, or only what a cache held before the POST
    right: int = 0  # symbols served as sent
    missing: Set[str] = frozenset()  # sent, not served
    outdated: Set[str] = frozenset()  # sent, and an earlier value of ours is served
    unreadable: Set[str] = frozenset()  # sent, and served in a form that nobody can read
    foreign: Set[str] = frozenset()  # served with a value that nobody here sent
    ghosts: Set[str] = frozenset()  # served, no longer in the universe
    cache_age_s: float | None = None  # of the answer, where a cache before the backend gave it
    post_s: float = 0.0
    post_status: int = 0  # of HTTP; 0: none came back, or nothing was sent
    stored: int | None = None  # rows that the backend's database took, as it says; None: it did not say

    @property
    def wrong(self) -> dict[str, Set[str]]:
        """What is not served as sent, and what nobody sent, by its word in ``oi:served``."""
        return {
            "foreign": self.foreign,
            "missing": self.missing,
            "outdated": self.outdated,
            "unreadable": self.unreadable,
        }

    @property
    def is_whole(self) -> bool:
        """All of it is served as sent, whatever the asOf."""
        return self.right == len(self.attempt.sent)

    @property
    def is_unstored(self) -> bool:
        """Served, and nothing of it in the backend's database: it has to go out again when that works."""
        return self.stored == 0 and bool(self.attempt.sent)

    @property
    def is_unserved(self) -> bool:
        """Less than half of it is served, though nobody else wrote. What cannot be read may be right."""
        right = self.right + len(self.unreadable)
        return self.snapshot is not None and right * 2 < len(self.attempt.sent) and not self.foreign

    def is_replaced(self, pieces: Sequence[Set[str]]) -> bool:
        """Whether only the last of several POSTs is served: the backend replaces its cache with each."""
        *before, last = pieces
        earlier: set[str] = set().union(*before) - last
        return bool(earlier) and earlier <= (self.missing | self.outdated) and not last & self.missing

    def because(self, why: str) -> Proof:
        return self._replace(why="; ".join(filter(None, (why, self.why))))

    def short(self, why: str) -> Proof:
        """VERIFIED it is not, for this reason."""
        verdict: Verdict = "PARTIAL" if self.verdict == "VERIFIED" else self.verdict
        return self._replace(verdict=verdict).because(why)


def audit(attempt: Attempt, snapshot: Snapshot, ledger: Ledger, now_ms: int) -> Proof:
    """Compare presence, value and asOf."""
    sent, served = attempt.sent, snapshot.values
    unreadable = snapshot.unreadable & sent.keys()
    missing = sent.keys() - served.keys() - unreadable
    wrong = {key for key, usd in sent.items() if key in served and not same(served[key], usd)}
    outdated = {key for key in wrong if ledger.is_ours(key, served[key])}
    unsent = served.keys() - sent.keys()
    foreign = (wrong - outdated) | {key for key in unsent if not ledger.is_ours(key, served[key])}
    proof = Proof(
        attempt,
        "FOREIGN" if foreign else "VERIFIED",
        snapshot=snapshot,
        right=len(sent) - len(missing) - len(unreadable) - len(wrong),
        missing=missing,
        outdated=outdated,
        unreadable=unreadable,
        foreign=foreign,
        ghosts=unsent - attempt.universe_keys() - foreign,
        cache_age_s=snapshot.cache_age_s,
    )
    shortfall = [f"{len(keys)} {SAID[how]} ({first_names(keys, 5)})" for how, keys in proof.wrong.items() if keys]
    if not as_of_right(attempt, snapshot.as_of_ms, now_ms):
        shortfall.append("asOf is not this batch's")
    if not sent:
        shortfall.append(NOTHING_FIT)
    if attempt.unsent:
        most = f"the backend replaces its cache and takes no more than {len(sent)} rows a POST"
        shortfall.insert(0, f"{most}: of {attempt.published} the {len(sent)} largest by notional are sent")
    return proof.short("; ".join(shortfall)) if shortfall else proof


def as_of_right(attempt: Attempt, as_of_ms: int | None, now_ms: int) -> bool:
    """A time of arrival, by another's clock; else the batch's own timestamp, to the millisecond or cut to the second.

    The asOf that was served before this batch is never right.
    """
    if as_of_ms is None or as_of_ms == attempt.before_ms:
        return False
    if as_of_ms in (attempt.batch_ms, attempt.batch_ms // 1000 * 1000):
        return True
    return attempt.posted_ms - SKEW_MS <= as_of_ms <= now_ms + SKEW_MS


def was_taken(attempt: Attempt, snapshot: Snapshot, now_ms: int) -> bool:
    """Whether an attempt of unknown outcome reached the backend: nearly all of its rows and its asOf are served."""
    served = snapshot.values
    right = sum(1 for key, usd in attempt.sent.items() if key in served and same(served[key], usd))
    return right * 10 >= len(attempt.sent) * 9 and as_of_right(attempt, snapshot.as_of_ms, now_ms)


def merged(attempt: Attempt, snapshot: Snapshot, seen: Set[str]) -> bool | None:
    """Whether what was seen served before and is not in this attempt is still there; None where that tells nothing."""
    unsent = seen - attempt.sent.keys()
    kept = unsent & snapshot.values.keys()
    return bool(kept) if unsent and kept in (unsent, set()) else None


def served_rows(proof: Proof, ledger: Ledger, now_ms: int) -> dict[str, Served] | None:
    """What ``oi:served`` is to hold after this audit, by the backend's spelling; None: as before, nothing was seen."""
    if proof.snapshot is None:
        return None
    values = proof.snapshot.values
    groups: tuple[tuple[str, Iterable[str]], ...] = (
        ("kept", values.keys()),
        ("verified", proof.attempt.sent.keys()),
        *proof.wrong.items(),
        ("ghost", proof.ghosts),
    )
    verdicts = {key: word for word, keys in groups for key in keys}
    return {key: Served(values.get(key), ledger.since_ms(key, now_ms), word) for key, word in sorted(verdicts.items())}
