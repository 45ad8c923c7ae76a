"""What is known of the backend's limits: how many rows one POST may hold, and whether it merges POSTs. Pure.

All of it is learned from its answers, and tried again: every ten minutes, and at once after the backend was away.
While trying, never fewer rows are served than before: a size that is refused (413) had no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.publisher.attempt import Kept, Merges
from services.publisher.join import Record

AGAIN_MS = 600_000
CLOSE = 16  # a limit is known well enough when what fits and what is refused differ by a sixteenth
LOOKS = 2  # in a row, before it counts as known that the backend replaces its cache


@dataclass
class BatchLimits:
    """``configured`` is BACKEND_MAX_ROWS; 0: none. Instants are Unix ms, ours."""

    configured: int
    fits: int = 0  # most rows that were taken at once
    refused: int = 0  # fewest rows that were answered with 413, two or more; 0: none were
    refused_ms: int = 0
    merges: Merges = "unknown"
    _tried_ms: int = 0
    _replaced_looks: int = 0

    def recall(self, kept: Kept) -> None:
        self.fits, self.refused, self.refused_ms = kept.max_rows, kept.refused_rows, kept.refused_ms
        self.merges = kept.merges

    def as_fields(self) -> dict[str, str | int]:
        """As they stand in ``oi:publisher``."""
        return {
            "max_rows": self.fits if self.refused else 0,
            "refused_rows": self.refused,
            "refused_ms": self.refused_ms,
            "merges": self.merges,
        }

    def size(self, rows: int, now_ms: int) -> int:
        """How many of ``rows`` the next POST is to hold; a backend that replaces is never sent pieces by choice."""
        configured = 0 if self.merges == "no" else self.configured
        return min(configured or rows, self._learned(rows, now_ms))

    def _learned(self, rows: int, now_ms: int) -> int:
        if self.refused < 2 or not 0 <= now_ms - self.refused_ms < AGAIN_MS:
            return rows
        if self.refused - self.fits <= max(1, self.fits // CLOSE):
            return min(rows, self.fits)
        return min(rows, (self.fits + self.refused) // 2)

    def choose(self, rows: Sequence[Record], now_ms: int) -> Sequence[Record]:
        """All rows; of rows in ascending order of notional the largest, where they have to fit into one POST.

        Now and then the smallest of these gives way to the next one: where it stays served, the backend merges.
        """
        size = self.size(len(rows), now_ms)
        if self.merges != "no" or size >= len(rows):
            return rows
        if 0 <= now_ms - self._tried_ms < AGAIN_MS or size < 2:
            return rows[-size:]
        self._tried_ms = now_ms
        return [rows[-size - 1], *rows[1 - size :]]

    def taken(self, rows: int) -> None:
        self.fits = max(self.fits, rows)
        if self.refused and rows >= self.refused:
            self.refused = 0  # the limit was raised

    def too_large(self, rows: int, now_ms: int) -> None:
        """413."""
        self.refused_ms = now_ms
        if not self.refused or rows < self.refused:
            self.refused = rows
        if rows <= self.fits:
            self.fits = 0  # the limit was lowered

    def try_again(self) -> None:
        """The backend was away: what comes back may be another version of it."""
        self.refused_ms = self._tried_ms = 0

    def saw(self, *, merged: bool) -> None:
        """A look at what became of rows that an earlier POST held and a later one did not."""
        self._replaced_looks = 0 if merged else self._replaced_looks + 1
        if merged:
            self.merges = "yes"
        elif self._replaced_looks >= LOOKS:
            self.merges = "no"
