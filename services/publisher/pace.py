"""How soon sweeps land, and what time a POST leaves between them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from shared.sweeplog import entry_order

BURST_S = 5.0  # most that late sweeps may take of one interval
SLOW_POSTS = 2  # in a row, before the backend counts as slower than the sweeps
SWEEPS = 6  # by whose landing the interval between them is judged


class Pace:
    def __init__(self) -> None:
        self._landed_ms: deque[int] = deque(maxlen=SWEEPS)  # by their ids
        self._slow = 0  # POSTs in a row that left no time for a late sweep

    def landed(self, entry_ids: Sequence[str]) -> None:
        """These wait, oldest first; those that are known already change nothing."""
        for landed_ms in (entry_order(entry_id)[0] for entry_id in entry_ids[-SWEEPS:]):
            if not self._landed_ms or landed_ms > self._landed_ms[-1]:
                self._landed_ms.append(landed_ms)

    @property
    def interval_s(self) -> float:
        """Between two sweeps, of late; 0 while that is not known."""
        landed = self._landed_ms
        return (landed[-1] - landed[0]) / 1000 / (len(landed) - 1) if len(landed) > 1 else 0.0

    def spare_s(self, post_s: float) -> float:
        """How long late sweeps may take before the newest has to go out: the interval less a POST and a half."""
        return min(BURST_S, self.interval_s - 1.5 * post_s) if self.interval_s else BURST_S

    def posted(self, post_s: float) -> None:
        """Whether one more POST would have fitted into the interval."""
        self._slow = self._slow + 1 if self.spare_s(post_s) <= post_s else 0

    @property
    def is_slow(self) -> bool:
        return self._slow >= SLOW_POSTS
