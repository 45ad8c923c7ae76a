"""Does a connection tick for the symbols it should, and do their prices move? Pure: seen against normal.

A half-mute connection looks alive: frames come, symbols are missing. Under 95 % within one window ends it. If the
fresh connection shows the same smaller set, that set is the new normal (the exchange delists), so nothing loops.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.codec import MarkText
from shared.logs import first_names

SHARE = 0.95
FROZEN_MS = 10 * 60 * 1000


class Coverage:
    """What is normal for one connection slot; it outlives the connections in it."""

    def __init__(self) -> None:
        self.normal: set[str] = set()
        self._short: set[str] | None = None  # what the last connection showed when it was ended

    def judge(self, seen: set[str]) -> str | None:
        """Look at one full window: None when the connection will do, else why it is to be ended."""
        ticking = len(self.normal & seen)
        if ticking >= SHARE * len(self.normal):
            self.normal |= seen
        elif self._short is not None and _alike(seen, self._short):
            self.normal = seen
        else:
            self._short = seen
            return f"only {ticking} of {len(self.normal)} symbols ticked: {first_names(self.normal - seen, 5)} missing"
        self._short = None
        return None

    def forget(self, gone: Iterable[str]) -> None:
        self.normal -= set(gone)


def _alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= SHARE * max(len(one), len(other))


class Frozen:
    """Symbols whose event time moves while their price does not, though most of their peers' prices do.

    They are flagged, not dropped: a price that stands still is not known to be wrong.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, int]] = {}

    def look(self, marks: dict[str, MarkText], universe: set[str]) -> set[str]:
        """Compare with the last look; ``universe`` is whom to watch (delisted contracts stand still for ever)."""
        watched = {s: marks[s] for s in universe if s in marks}
        since: dict[str, tuple[str, int]] = {}
        for symbol, mark in watched.items():
            before = self._since.get(symbol)
            still = before is not None and before[0] == mark.mark_price
            since[symbol] = before if still and before else (mark.mark_price, mark.event_ms)
        self._since = since
        frozen = {s for s, mark in watched.items() if mark.event_ms - since[s][1] >= FROZEN_MS}
        return frozen if len(frozen) * 2 < len(watched) else set()
