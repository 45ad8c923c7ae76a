"""What the exchange's clock says, as far as the ``Date`` of its answers tells; pure. Milliseconds."""

from __future__ import annotations

SKEW_MS = 100.0  # between the exchange's own servers
SLEW = 0.0005  # the most by which a clock is slewed


class VenueClock:
    """Bounds on the exchange's clock minus ours, narrowed by each ``Date``, which tells whole seconds only."""

    def __init__(self) -> None:
        self.low_ms = 0.0
        self.high_ms = 0.0
        self._seen_ms: int | None = None

    def observe(self, date_ms: int, sent_ms: int, received_ms: int) -> bool:
        """Learn from one answer; True when what was believed was wrong: the first answer, or this host slept."""
        low_ms = date_ms - received_ms - SKEW_MS
        high_ms = date_ms + 1000 - sent_ms + SKEW_MS
        first, since_ms = self._seen_ms is None, received_ms - (self._seen_ms or 0)
        self._seen_ms = received_ms
        if not first:
            drift_ms = since_ms * SLEW
            low, high = max(low_ms, self.low_ms - drift_ms), min(high_ms, self.high_ms + drift_ms)
            if low <= high:
                self.low_ms, self.high_ms = low, high
                return False
        self.low_ms, self.high_ms = low_ms, high_ms
        return True
