"""Request weight: how much may be sent in this minute, corrected by the exchange's own count; pure, given the time.

The exchange counts per address and UTC clock minute, other scripts included, and tells the count with each answer.
Kept at every moment: what this process sends in a minute of the exchange stays within `Governor.allowance`, and the
count within its limit less ``reserve``, as far as the count can be known. A request is spent when it is sent; one
that the exchange may have counted in either of two minutes is counted in both. Instants are Unix ms of the local clock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from shared.errors import Transient

MINUTE_MS = 60_000
DEFAULT_LIMIT = 2400
SKEW_MS = 100.0  # between the exchange's own servers
SLEW = 0.0005  # the most by which a clock is slewed
ASIDE = 5  # weight a minute beside the sweeps: the symbol list, asked for anew now and then
LONGEST_STRETCH = 5  # minutes from sweep to sweep when others use up the limit: someone must look again


class OutOfWeight(Transient):
    """This minute's weight is spent; ``retry_after_s`` ends with it."""


class Ticket(NamedTuple):
    """One request under way."""

    weight: int
    minute: int
    sent_ms: int


class VenueClock:
    """Bounds on the exchange's clock minus ours, narrowed by each ``Date``, which tells whole seconds only."""

    def __init__(self) -> None:
        self.low_ms = 0.0
        self.high_ms = 0.0
        self._seen_ms: int | None = None

    def observe(self, date_ms: int, sent_ms: int, received_ms: int) -> bool:
        """Learn from one answer; True when what was believed was wrong: the first answer, or a clock that was set."""
        low_ms = date_ms - received_ms - SKEW_MS
        high_ms = date_ms + 1000 - min(sent_ms, received_ms) + SKEW_MS
        first, since_ms = self._seen_ms is None, received_ms - (self._seen_ms or 0)
        self._seen_ms = received_ms
        if not first:
            drift_ms = abs(since_ms) * SLEW
            low, high = max(low_ms, self.low_ms - drift_ms), min(high_ms, self.high_ms + drift_ms)
            if low <= high:
                self.low_ms, self.high_ms = low, high
                return False
        self.low_ms, self.high_ms = low_ms, high_ms
        return True


class Governor:
    def __init__(self, per_minute: int, reserve: int) -> None:
        self.per_minute = per_minute
        self.reserve = reserve
        self.limit = DEFAULT_LIMIT
        self.sweep = 0  # requests of one sweep, as far as known
        self._clock = VenueClock()
        self._minute = 0
        self._ours = 0  # all we sent in this minute
        self._in_flight = 0
        self._lost = 0  # sent, and no count came back
        self._either = 0  # of ours: may have been counted in the next minute
        self._counted = 0  # the highest count told in this minute
        self._baseline: int | None = None  # the count before our first request: another process, perhaps our last self
        self._told_ms = 0  # when it was last told
        self._others = 0  # what others were seen to send a minute, in the last minute that told

    def spend(self, now_ms: int, weight: int = 1) -> Ticket:
        """Account for a request about to be sent; `OutOfWeight` when it must not be."""
        wait_ms = self.wait_ms(now_ms, weight)
        if wait_ms:
            raise OutOfWeight("this minute's request weight is spent", wait_ms / 1000)
        self._ours += weight
        self._in_flight += weight
        return Ticket(weight, self._minute, now_ms)

    def settle(self, ticket: Ticket, now_ms: int, used: int | None, date_ms: int | None) -> None:
        """The request ended: with the exchange's count and Date, or with None where it gave none."""
        self._roll(now_ms)
        self._in_flight -= ticket.weight
        certain = ticket.minute == self._minute == self._latest_minute(now_ms)
        if ticket.minute == self._minute and (used is None or not certain):
            self._either += ticket.weight
        if used is None:
            self._lost += ticket.weight
        elif certain:  # otherwise the count may be that of the minute before
            if self._baseline is None:
                self._baseline = max(0, used - self._ours)
            self._counted, self._told_ms = max(self._counted, used), now_ms
        if date_ms is not None and self._clock.observe(date_ms, ticket.sent_ms, now_ms):
            self._minute = self._earliest_minute(now_ms)
            self._either = self._ours - self._in_flight

    def used(self, now_ms: int) -> int:
        """The exchange's count as it may stand now: what it told, and what it may not have counted yet."""
        self._roll(now_ms)
        return max(self._ours, self._counted + self._in_flight + self._lost)

    def free(self, now_ms: int) -> int:
        """What may still be sent in this minute."""
        used = self.used(now_ms)
        return max(0, min(self.allowance() - self._ours, self.limit - self.reserved() - used))

    def allowance(self) -> int:
        """Most we send in one clock minute.

        ``per_minute`` is a rate: at 5.8 sweeps a minute some clock minutes hold six, and none is cut in two for it.
        """
        whole = self.per_minute
        if 0 < self.sweep <= self.per_minute:
            whole = math.ceil(self.per_minute / self.sweep) * self.sweep + ASIDE
        return min(whole, self.limit - self.reserved())

    def reserved(self) -> int:
        """Left free at all times; of a small limit never more than half."""
        return min(self.reserve, self.limit // 2)

    def wait_ms(self, now_ms: int, weight: int) -> int:
        """Until that much may be sent: 0, or the rest of the minute. More than a minute holds needs a fresh one."""
        if min(weight, self.budget()) <= self.free(now_ms):
            return 0
        return math.ceil(MINUTE_MS - self._into_minute_ms(now_ms))

    def sweep_wait_ms(self, now_ms: int, symbols: int) -> int:
        """The same for a sweep, which must not run dry half-way: others went on sending since the count was told."""
        silent_ms = min(now_ms - self._told_ms, self._into_minute_ms(now_ms))
        unseen = min(math.ceil(self._others_a_minute() * max(0, silent_ms) / MINUTE_MS), self.budget() - 1)
        return self.wait_ms(now_ms, min(symbols, self.budget() - unseen) + unseen)

    def budget(self) -> int:
        """What a minute allows when nobody else sends."""
        return max(1, min(self.per_minute, self.limit - self.reserved()))

    def planned(self, now_ms: int) -> int:
        """What a minute allows beside what others on this address were last seen to send."""
        self._roll(now_ms)
        return max(1, min(self.per_minute, self.limit - self.reserved() - self._others_a_minute()))

    def interval_s(self, symbols: int, least_s: float, now_ms: int) -> float:
        """From start to start of sweeps: 60 x symbols / budget.

        Where the exchange's limit has no room for a clock minute that holds one sweep more than the rate has whole
        ones, it is stretched until a whole number fits: the last would have to wait for the next minute.
        """
        planned = self.planned(now_ms)
        if planned >= symbols:
            interval_s = max(least_s, 60 * symbols / planned)
            fullest = math.ceil(60 / interval_s) * symbols + ASIDE
            if fullest <= self.limit - self.reserved() - self._others_a_minute():
                return interval_s
            return max(least_s, 60 / (planned // max(1, symbols)))
        longest = max(LONGEST_STRETCH, math.ceil(symbols / self.budget()))
        return max(least_s, 60.0 * min(math.ceil(symbols / planned), longest))

    def _others_a_minute(self) -> int:
        return max(self._others, self._others_this_minute())

    def _others_this_minute(self) -> int:
        """What others sent in this minute, drawn out to its end; a burst at its beginning is not taken for a rate."""
        seen = max(0, self._counted - self._ours - (self._baseline or 0))
        return int(seen * MINUTE_MS / max(MINUTE_MS // 2, self._into_minute_ms(self._told_ms)))

    def _into_minute_ms(self, now_ms: int) -> float:
        return (now_ms + self._clock.low_ms) % MINUTE_MS

    def _roll(self, now_ms: int) -> None:
        """A new minute begins only when it surely has begun; what may already count in it comes along."""
        minute = self._earliest_minute(now_ms)
        if minute <= self._minute:
            return
        if self._counted:
            self._others = self._others_this_minute()
            self._baseline = 0
        carried = self._either if minute == self._minute + 1 else 0
        self._minute = minute
        self._ours = carried + self._in_flight
        self._either = self._lost = self._counted = 0

    def _earliest_minute(self, now_ms: int) -> int:
        return math.floor((now_ms + self._clock.low_ms) / MINUTE_MS)

    def _latest_minute(self, now_ms: int) -> int:
        return math.floor((now_ms + self._clock.high_ms) / MINUTE_MS)
