"""Is what is served what was sent? The verdict on one cycle, symbol by symbol. Pure.

Symbols are in the backend's spelling here. A merging backend goes on serving what earlier batches held; such a value
is known to the `Ledger` and is nobody else's doing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Literal, NamedTuple

from services.publisher.join import SKEW_MS
from services.publisher.wire import Snapshot
from shared.model import Served

Verdict = Literal["VERIFIED", "PARTIAL", "UNVERIFIED", "FOREIGN", "UNAUDITED"]
RELATIVE = 1e-9
SENT_KEPT = 4  # values remembered of each symbol besides the one last seen served
ADOPT_AFTER_MS = 600_000


class Sent(NamedTuple):
    """What one attempt sent, and what was served before it."""

    values: Mapping[str, float]
    batch_ms: int
    posted_ms: int
    before_ms: int | None  # the asOf that was served before it


class Audit(NamedTuple):
    verdict: Verdict
    right: int
    missing: Set[str] = frozenset()  # sent, not served
    outdated: Set[str] = frozenset()  # sent, and an earlier value of ours is served
    foreign: Set[str] = frozenset()  # served with a value that nobody here sent
    ghosts: Set[str] = frozenset()  # served, no longer in the universe
    as_of_right: bool = True


def same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=RELATIVE)


class Ledger:
    """The values of ours that may be served: what was last seen there, and what was sent since."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}
        self._sent: dict[str, list[float]] = {}
        self._foreign: dict[str, tuple[float, int]] = {}

    @property
    def empty(self) -> bool:
        return not self._seen and not self._sent

    def add_sent(self, values: Mapping[str, float]) -> None:
        for key, usd in values.items():
            self._sent[key] = [*self._sent.get(key, [])[1 - SENT_KEPT :], usd]

    def adopt(self, values: Mapping[str, float], now_ms: int) -> None:
        """Take what is served for ours: before the first batch it is what earlier writers left."""
        for key, usd in values.items():
            self._seen[key] = (usd, now_ms)

    def is_ours(self, key: str, usd: float) -> bool:
        seen = self._seen.get(key)
        return (seen is not None and same(seen[0], usd)) or any(same(sent, usd) for sent in self._sent.get(key, ()))

    def see(self, snapshot: Snapshot, foreign: Set[str], universe: Set[str], now_ms: int) -> None:
        """Note what is served now. A foreign value outside the universe that stands still is a leftover in the end."""
        self._foreign = {key: row for key, row in self._foreign.items() if key in foreign}
        for key, usd in snapshot.values.items():
            book = self._foreign if key in foreign else self._seen
            known = book.get(key)
            if known is None or known[0] != usd:
                known = book[key] = (usd, now_ms)
            if key in foreign and key not in universe and now_ms - known[1] >= ADOPT_AFTER_MS:
                self._seen[key] = known
        kept = snapshot.values.keys() | universe
        self._seen = {key: row for key, row in self._seen.items() if key in kept}
        self._sent = {key: row for key, row in self._sent.items() if key in kept}

    def since_ms(self, key: str, now_ms: int) -> int:
        return (self._foreign.get(key) or self._seen.get(key) or (0.0, now_ms))[1]

    def recall(self, rows: Mapping[str, Served]) -> None:
        """Start from what an earlier process wrote to ``oi:served``."""
        for key, row in rows.items():
            if row.usd is not None and row.verdict != "foreign":
                self._seen[key] = (row.usd, row.since_ms)


def audit(sent: Sent, snapshot: Snapshot, universe: Set[str], ledger: Ledger, now_ms: int) -> Audit:
    """Compare presence, value and asOf."""
    right = 0
    missing: set[str] = set()
    outdated: set[str] = set()
    foreign: set[str] = set()
    ghosts: set[str] = set()
    for key, usd in sent.values.items():
        served = snapshot.values.get(key)
        if served is None:
            missing.add(key)
        elif same(served, usd):
            right += 1
        else:
            (outdated if ledger.is_ours(key, served) else foreign).add(key)
    for key in snapshot.values.keys() - sent.values.keys():
        if not ledger.is_ours(key, snapshot.values[key]):
            foreign.add(key)
        elif key not in universe:
            ghosts.add(key)
    timely = as_of_right(sent, snapshot.as_of_ms, now_ms)
    whole = bool(sent.values) and not missing and not outdated and timely
    verdict: Verdict = "FOREIGN" if foreign else "VERIFIED" if whole else "PARTIAL"
    return Audit(verdict, right, missing, outdated, foreign, ghosts, timely)


def as_of_right(sent: Sent, as_of_ms: int | None, now_ms: int) -> bool:
    """The batch's own timestamp, to the millisecond or cut to the second; else a time of arrival, by another's clock.

    The asOf that was served before this batch is never right, unless it is the batch's own.
    """
    if as_of_ms in (sent.batch_ms, sent.batch_ms // 1000 * 1000):
        return True
    if as_of_ms is None or as_of_ms == sent.before_ms:
        return False
    return sent.posted_ms - SKEW_MS <= as_of_ms <= now_ms + SKEW_MS


def was_taken(sent: Sent, snapshot: Snapshot, now_ms: int) -> bool:
    """Whether an attempt of unknown outcome reached the backend: most of its rows and its asOf are served."""
    right = sum(1 for key, usd in sent.values.items() if key in snapshot.values and same(snapshot.values[key], usd))
    return right * 2 > len(sent.values) and as_of_right(sent, snapshot.as_of_ms, now_ms)


def is_replaced(chunks: list[set[str]], result: Audit) -> bool:
    """Whether only the last of several POSTs is served: the backend replaces its cache with each."""
    if len(chunks) < 2:
        return False
    last = chunks[-1]
    earlier: set[str] = set().union(*chunks[:-1]) - last
    return bool(earlier) and earlier <= (result.missing | result.outdated) and not last & result.missing


def served_rows(
    sent: Mapping[str, float], snapshot: Snapshot, result: Audit, ledger: Ledger, now_ms: int
) -> dict[str, Served]:
    """What ``oi:served`` is to hold after this audit, by the backend's spelling."""
    groups: tuple[tuple[str, Iterable[str]], ...] = (
        ("kept", snapshot.values.keys()),
        ("verified", sent.keys()),
        ("missing", result.missing),
        ("outdated", result.outdated),
        ("foreign", result.foreign),
        ("ghost", result.ghosts),
    )
    verdicts = {key: word for word, keys in groups for key in keys}
    return {
        key: Served(snapshot.values.get(key), ledger.since_ms(key, now_ms), word)
        for key, word in sorted(verdicts.items())
    }
