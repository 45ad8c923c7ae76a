"""Is what is served what was sent? The verdict on one cycle, symbol by symbol, and its reasons. Pure.

Symbols are in the backend's spelling here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Literal, NamedTuple

from services.publisher.attempt import Attempt
from services.publisher.join import FETCH_FAILED, SKEW_MS
from services.publisher.ledger import Ledger, same
from services.publisher.wire import Snapshot
from shared.logs import first_names
from shared.model import Served

Verdict = Literal["VERIFIED", "PARTIAL", "UNVERIFIED", "FOREIGN", "UNAUDITED"]


class Audit(NamedTuple):
    """What one look says of one attempt."""

    verdict: Verdict
    right: int
    missing: Set[str] = frozenset()  # sent, not served
    outdated: Set[str] = frozenset()  # sent, and an earlier value of ours is served
    unreadable: Set[str] = frozenset()  # sent, and served in a form that nobody can read
    foreign: Set[str] = frozenset()  # served with a value that nobody here sent
    ghosts: Set[str] = frozenset()  # served, no longer in the universe
    as_of_right: bool = True

    @property
    def wrong(self) -> Set[str]:
        return self.missing | self.outdated | self.unreadable | self.foreign


class Proof(NamedTuple):
    """What became of one batch."""

    attempt: Attempt
    audit: Audit
    snapshot: Snapshot | None  # None: nothing could be read back, or only what a cache held before the POST
    why: str  # one line; empty when there is nothing to add
    cache_age_s: float | None = None  # of the answer, where a cache before the backend gave it
    post_s: float = 0.0
    post_status: int = 0  # of HTTP; 0: none came back, or nothing was sent
    stored: int | None = None  # rows that the backend's database took, as it says; None: it did not say

    @property
    def is_unstored(self) -> bool:
        """Served, and nothing of it in the backend's database: it has to go out again when that works."""
        return self.stored == 0 and bool(self.attempt.sent)

    @property
    def is_unserved(self) -> bool:
        """Less than half of it is served, though nobody else wrote. What cannot be read may be right."""
        right = self.audit.right + len(self.audit.unreadable)
        return self.snapshot is not None and right * 2 < len(self.attempt.sent) and not self.audit.foreign

    def because(self, why: str) -> Proof:
        return self._replace(why="; ".join(filter(None, (why, self.why))))

    def short(self, why: str) -> Proof:
        """VERIFIED it is not, for this reason."""
        verdict = "PARTIAL" if self.audit.verdict == "VERIFIED" else self.audit.verdict
        return self._replace(audit=self.audit._replace(verdict=verdict)).because(why)


def audit(attempt: Attempt, snapshot: Snapshot, ledger: Ledger, now_ms: int) -> Audit:
    """Compare presence, value and asOf."""
    sent, served, universe = attempt.sent, snapshot.values, attempt.universe_keys()
    unreadable = snapshot.unreadable & sent.keys()
    missing = sent.keys() - served.keys() - unreadable
    wrong = {key for key, usd in sent.items() if key in served and not same(served[key], usd)}
    outdated = {key for key in wrong if ledger.is_ours(key, served[key])}
    unsent = served.keys() - sent.keys()
    foreign = (wrong - outdated) | {key for key in unsent if not ledger.is_ours(key, served[key])}
    ghosts = unsent - universe - foreign
    timely = as_of_right(attempt, snapshot.as_of_ms, now_ms)
    right = len(sent) - len(missing) - len(unreadable) - len(wrong)
    whole = bool(sent) and right == len(sent) and timely
    verdict: Verdict = "FOREIGN" if foreign else "VERIFIED" if whole else "PARTIAL"
    return Audit(verdict, right, missing, outdated, unreadable, foreign, ghosts, timely)


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


def is_replaced(pieces: Sequence[Set[str]], result: Audit) -> bool:
    """Whether only the last of several POSTs is served: the backend replaces its cache with each."""
    *before, last = pieces
    earlier: set[str] = set().union(*before) - last
    return bool(earlier) and earlier <= (result.missing | result.outdated) and not last & result.missing


def merged(attempt: Attempt, snapshot: Snapshot, seen: Set[str]) -> bool | None:
    """Whether what was seen served before and is not in this attempt is still there; None where that tells nothing."""
    unsent = seen - attempt.sent.keys()
    kept = unsent & snapshot.values.keys()
    return bool(kept) if unsent and kept in (unsent, set()) else None


def served_rows(proof: Proof, ledger: Ledger, now_ms: int) -> dict[str, Served] | None:
    """What ``oi:served`` is to hold after this audit, by the backend's spelling; None: as before, nothing was seen."""
    if proof.snapshot is None:
        return None
    values, result = proof.snapshot.values, proof.audit
    groups: tuple[tuple[str, Iterable[str]], ...] = (
        ("kept", values.keys()),
        ("verified", proof.attempt.sent.keys()),
        ("missing", result.missing),
        ("outdated", result.outdated),
        ("unreadable", result.unreadable),
        ("foreign", result.foreign),
        ("ghost", result.ghosts),
    )
    verdicts = {key: word for word, keys in groups for key in keys}
    return {key: Served(values.get(key), ledger.since_ms(key, now_ms), word) for key, word in sorted(verdicts.items())}


def reasons(attempt: Attempt) -> dict[str, list[str]]:
    """Reason -> its symbols, `fetch_failed` included."""
    named: dict[str, list[str]] = {}
    for symbol, reason in attempt.left_out.items():
        named.setdefault(reason, []).append(symbol)
    if attempt.failed:
        named[FETCH_FAILED] = attempt.failed
    return named


def left_out(attempt: Attempt) -> Mapping[str, str]:
    """What ``oi:left_out`` is to hold: symbol -> reason."""
    return {**attempt.left_out, **dict.fromkeys(attempt.failed, FETCH_FAILED)}


def shortfall(result: Audit, sent: int) -> str:
    """What is not as it should be, in words; empty when all of it is."""
    parts = [
        f"{len(keys)} {what} ({first_names(keys, 5)})"
        for what, keys in (
            ("served with values nobody here sent", result.foreign),
            ("not served", result.missing),
            ("still served with an earlier value", result.outdated),
            ("served in a form that cannot be read", result.unreadable),
        )
        if keys
    ]
    if not result.as_of_right:
        parts.append("asOf is not this batch's")
    if not sent:
        parts.append("nothing was fit to be sent")
    return "; ".join(parts)
