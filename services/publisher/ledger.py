"""The values of ours that the backend may serve: what was last seen there, and what was sent since. No I/O.

Symbols are in the backend's spelling. A merging backend goes on serving what earlier batches held; such a value is
known here, and is nobody else's doing. What was sent is written down with the note of its POST: it may be seen served
only by the next process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set

from shared.model import Served

RELATIVE = 1e-9
SENT_KEPT = 4  # values remembered of each symbol besides the one last seen served
ADOPT_AFTER_MS = 600_000


def same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=RELATIVE)


class Ledger:
    """The values of ours that may be served: what was last seen there, and what was sent since."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}
        self._sent: dict[str, list[float]] = {}
        self._foreign: dict[str, tuple[float, int]] = {}

    @property
    def sent(self) -> Mapping[str, list[float]]:
        """The last different values of each symbol, oldest first."""
        return self._sent

    def add_sent(self, values: Mapping[str, float]) -> None:
        for key, usd in values.items():
            others = [value for value in self._sent.get(key, ()) if value != usd]
            self._sent[key] = [*others[1 - SENT_KEPT :], usd]

    def adopt(self, values: Mapping[str, float], now_ms: int) -> None:
        """Take what is served for ours: before the first batch it is what earlier writers left."""
        self._seen.update({key: (usd, now_ms) for key, usd in values.items() if not self.is_ours(key, usd)})

    def is_ours(self, key: str, usd: float) -> bool:
        seen = self._seen.get(key)
        return (seen is not None and same(seen[0], usd)) or any(same(sent, usd) for sent in self._sent.get(key, ()))

    def see(self, served: Mapping[str, float], foreign: Set[str], universe: Set[str], now_ms: int) -> None:
        """Note what is served now. A foreign value outside the universe that stands still is a leftover in the end.

        What was sent stays known, however late its POST takes effect: after its symbol has left, it is still ours.
        """
        self._foreign = {key: row for key, row in self._foreign.items() if key in foreign}
        for key, usd in served.items():
            book = self._foreign if key in foreign else self._seen
            known = book.get(key)
            if known is None or known[0] != usd:
                known = book[key] = (usd, now_ms)
            if key in foreign and key not in universe and now_ms - known[1] >= ADOPT_AFTER_MS:
                self._seen[key] = known
        kept = served.keys() | universe
        self._seen = {key: row for key, row in self._seen.items() if key in kept}

    def since_ms(self, key: str, now_ms: int) -> int:
        return (self._foreign.get(key) or self._seen.get(key) or (0.0, now_ms))[1]

    def recall(self, rows: Mapping[str, Served], sent: Mapping[str, list[float]]) -> None:
        """Start from what an earlier process wrote to ``oi:served``, and of what it sent."""
        self._sent = dict(sent)
        for key, row in rows.items():
            if row.usd is not None and row.verdict != "foreign":
                self._seen[key] = (row.usd, row.since_ms)
