"""What each contract stood at 5 min, 15 min and an hour ago, as long as it was believed then. Memory only; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal

from shared.model import PAST_S, VenueOpenInterest

EVERY_MS = 60_000
NEAR_MS = 45_000  # how far from the instant wanted a sample may lie
KEPT_MS = PAST_S[-1] * 1000 + 2 * EVERY_MS
Then = tuple[Decimal | None, Decimal | None, Decimal | None]


class Past:
    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], tuple[list[int], list[Decimal]]] = {}  # symbol and sides

    def note(self, rows: Iterable[VenueOpenInterest]) -> None:
        """A sample of each contract a minute; what nobody tells any more is forgotten."""
        for row in rows:
            times, values = self._samples.setdefault((row.symbol, row.sides), ([], []))
            if times and row.received_ms - times[-1] < EVERY_MS:
                continue
            times.append(row.received_ms)
            values.append(row.base)
            while times[0] < row.received_ms - KEPT_MS:
                del times[0], values[0]

    def forget(self, row: VenueOpenInterest) -> None:
        """Its figure means another thing from now on: what was before is nothing to compare with."""
        self._samples.pop((row.symbol, row.sides), None)

    def prune(self, now_ms: int) -> None:
        old = [key for key, (times, _) in self._samples.items() if times[-1] < now_ms - KEPT_MS]
        for key in old:
            del self._samples[key]

    def of(self, row: VenueOpenInterest, now_ms: int) -> Then:
        then, earlier, earliest = (self.before(row, now_ms, seconds) for seconds in PAST_S)
        return (then, earlier, earliest)

    def before(self, row: VenueOpenInterest, now_ms: int, seconds: int) -> Decimal | None:
        """What it stood at then; None where nobody knows."""
        times, values = self._samples.get((row.symbol, row.sides), ([], []))
        wanted_ms = now_ms - seconds * 1000
        at = bisect_left(times, wanted_ms)
        around = range(max(0, at - 1), min(at + 1, len(times)))
        near = min(around, key=lambda i: abs(times[i] - wanted_ms), default=None)
        return None if near is None or abs(times[near] - wanted_ms) > NEAR_MS else values[near]
