"""How much request weight may be sent now, corrected by the exchange's own count; pure, given the time.

The exchange counts weight per address and UTC clock minute, other scripts included, and tells the count with each
answer. What this process sends in one of its minutes stays within `WeightBudget.allowance`, and the count within the
limit less what is reserved, as far as the count can be known. A request is counted from when it is sent; one that the
exchange may have counted in either of two minutes is counted in both.

Instants are milliseconds of this process's monotonic clock: a wall clock that is set changes nothing here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from services.oi_poller.venueclock import VenueClock
from shared.errors import Transient
from shared.venues.binance.rest import LIMIT

MINUTE_MS = 60_000
ASIDE = 2  # weight a minute beside the sweeps: the symbol list, asked for anew now and then
LONGEST_STRETCH = 5  # minutes from sweep to sweep when others use up the limit: someone must look again
ALONE_RESERVE = 100  # weight a minute kept free while nobody else is seen on the address
ALONE_AFTER_MS = 300_000  # since somebody else was last seen
LAST_LOOK_MS = 800  # before the end of a minute
UNNOTICED = 5  # a difference between the exchange's count and ours that need not be somebody else


class OutOfWeight(Transient):
    """This minute's weight is spent; ``retry_after_s`` ends with it."""


class Ticket(NamedTuple):
    """One request of weight 1 under way."""

    minute: int
    sent_ms: int


class WeightBudget:
    """``per_minute`` is the most to send in a minute, as a rate; None: what the exchange's limit allows.

    Without it the reserve follows what is seen: while nobody else was seen on the address for five minutes it is 100 a
    minute, for what is left of the minute, since the exchange begins to count anew with the next; else ``reserve``.
    """

    def __init__(self, per_minute: int | None, reserve: int) -> None:
        self.per_minute = per_minute
        self.reserve = reserve
        self.limit = LIMIT
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
        self._alone_from_ms: int | None = None  # None: its minutes are not known yet

    def spend(self, now_ms: int) -> Ticket:
        """Account for a request about to be sent; `OutOfWeight` when it must not be."""
        wait_ms = self.wait_ms(now_ms, 1)
        if wait_ms:
            raise OutOfWeight("this minute's request weight is spent", wait_ms / 1000)
        self._ours += 1
        self._in_flight += 1
        return Ticket(self._minute, now_ms)

    def answered(self, ticket: Ticket, now_ms: int, used: int | None, date_ms: int | None) -> None:
        """The request ended: with the exchange's count and Date, or with None where it gave none."""
        self._roll(now_ms)
        self._in_flight -= 1
        certain = ticket.minute == self._minute == self._latest_minute(now_ms)
        if ticket.minute == self._minute and (used is None or not certain):
            self._either += 1
        if used is None:
            self._lost += 1
        elif certain:  # otherwise the count may be that of the minute before
            self._count(used, now_ms)
        if date_ms is not None and self._clock.observe(date_ms, ticket.sent_ms, now_ms):
            self._minute = self._earliest_minute(now_ms)
            self._either = self._ours - self._in_flight
            watched_ms = math.ceil(2 * MINUTE_MS - self._into_minute_ms(now_ms))  # this minute, and a whole one
            self._alone_from_ms = max(self._alone_from_ms or 0, now_ms + watched_ms)

    def _count(self, used: int, now_ms: int) -> None:
        if self._baseline is None:
            self._baseline = max(0, used - self._ours)
        self._counted, self._told_ms = max(self._counted, used), now_ms
        if self._seen_this_minute() > UNNOTICED:
            self._alone_from_ms = now_ms + ALONE_AFTER_MS

    def used(self, now_ms: int) -> int:
        """The exchange's count as it may stand now: what it told, and what it may not have counted yet."""
        self._roll(now_ms)
        return max(self._ours, self._counted + self._in_flight + self._lost)

    def others(self, now_ms: int) -> int:
        """What others on this address were last seen to send a minute."""
        self._roll(now_ms)
        return max(self._others, self._others_this_minute())

    def free(self, now_ms: int) -> int:
        """What may still be sent in this minute."""
        used = self.used(now_ms)
        return max(0, min(self.allowance(now_ms) - self._ours, self.limit - self.reserved(now_ms) - used))

    def allowance(self, now_ms: int) -> int:
        """Most we send in one clock minute.

        ``per_minute`` is a rate: at 5.8 sweeps a minute some clock minutes hold six, and none is cut in two for it.
        """
        most = self.limit - self.reserved(now_ms)
        if self.per_minute is None:
            return most
        if 0 < self.sweep <= self.per_minute:
            return min(most, math.ceil(self.per_minute / self.sweep) * self.sweep + ASIDE)
        return min(most, self.per_minute)

    def is_alone(self, now_ms: int) -> bool:
        """Whether nobody else was seen on the address: for one whole minute at first, for five once somebody was."""
        return self._alone_from_ms is not None and now_ms >= self._alone_from_ms

    def reserved(self, now_ms: int) -> int:
        """Left free now."""
        reserve = self._reserve_a_minute(now_ms)
        if self._is_shrunk(now_ms):
            return math.ceil(reserve * (1 - self._into_minute_ms(now_ms) / MINUTE_MS))
        return reserve

    def wait_ms(self, now_ms: int, weight: int) -> int:
        """Until that much may be sent: 0, until the reserve has shrunk enough, or the rest of the minute.

        More than a minute holds needs a fresh one.
        """
        if min(weight, self.budget(now_ms)) <= self.free(now_ms):
            return 0
        into_ms, room = self._into_minute_ms(now_ms), self.limit - self.used(now_ms) - weight
        if self._is_shrunk(now_ms) and room >= 0:
            return math.ceil(MINUTE_MS * (1 - room / self._reserve_a_minute(now_ms)) - into_ms)
        return math.ceil(MINUTE_MS - into_ms)

    def sweep_wait_ms(self, now_ms: int, symbols: int) -> int:
        """The same for a sweep, which must not run dry half-way: others went on sending since the count was told."""
        silent_ms = min(now_ms - self._told_ms, self._into_minute_ms(now_ms))
        return self.wait_ms(now_ms, symbols + math.ceil(self.others(now_ms) * silent_ms / MINUTE_MS))

    def budget(self, now_ms: int, others: int = 0) -> int:
        """What a minute allows beside so much that others send."""
        most = self.limit - self._reserve_a_minute(now_ms) - others
        return most if self.per_minute is None else min(self.per_minute, most)

    def planned(self, now_ms: int) -> int:
        """The same beside what they were last seen to send: 1 at least, which shows whether they still do."""
        return max(1, self.budget(now_ms, self.others(now_ms)))

    def interval_s(self, symbols: int, least_s: float, now_ms: int) -> float:
        """From start to start of sweeps: 60 x symbols / budget.

        Some clock minutes then hold one sweep more than others: at 9 s the seventh begins 54 s into it. Where the limit
        has no room for that one, it begins when the reserve has shrunk enough; or else a whole number is spread over
        the minute, for it would have to wait for the next anyway.
        """
        planned = self.planned(now_ms)
        if planned < symbols:
            longest = max(LONGEST_STRETCH, math.ceil(symbols / self.budget(now_ms)))
            return max(least_s, 60.0 * min(math.ceil(symbols / planned), longest))
        interval_s = max(least_s, 60 * symbols / planned)
        sweeps = math.ceil(60 / interval_s)
        room = self.limit - self.others(now_ms) - sweeps * symbols - ASIDE
        reserve = self._reserve_a_minute(now_ms)
        if room >= reserve:
            return interval_s
        if self._is_shrunk(now_ms) and room >= 0 and sweeps > 1:
            return max(interval_s, 60 / (sweeps - 1) * (1 - room / reserve))
        return max(least_s, 60 / (planned // max(1, symbols)))

    def last_look_ms(self, now_ms: int) -> int:
        """Until the last moment at which a request surely is answered, and counted, in this minute; or in the next."""
        return math.ceil((MINUTE_MS - LAST_LOOK_MS - now_ms - self._clock.high_ms) % MINUTE_MS)

    def _reserve_a_minute(self, now_ms: int) -> int:
        """Of a small limit never more than half."""
        return min(self.reserve, self.limit // 2, ALONE_RESERVE if self._is_shrunk(now_ms) else self.reserve)

    def _is_shrunk(self, now_ms: int) -> bool:
        return self.per_minute is None and self.is_alone(now_ms)

    def _others_this_minute(self) -> int:
        """What others sent in this minute, drawn out to its end; a burst at its beginning is not taken for a rate."""
        return int(self._seen_this_minute() * MINUTE_MS / max(MINUTE_MS // 2, self._into_minute_ms(self._told_ms)))

    def _seen_this_minute(self) -> int:
        """What the exchange counted beyond what we sent."""
        return max(0, self._counted - self._ours - (self._baseline or 0))

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
