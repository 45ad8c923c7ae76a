"""Request weights: one pool per UTC clock minute, 429 over its limit, 418 for those who go on. Pure, given the time.

Instants are Unix milliseconds, waits are seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTE_MS = 60_000
LONGEST_BAN_S = 3 * 86_400.0


@dataclass(slots=True)
class Rules:
    """What the limiter is told; every field can be changed while it runs."""

    limit: int = 2400  # weight a minute
    ban_after: int = 64  # requests answered 429 within one minute before the next is answered 418
    ban_s: float = 120.0  # the first ban; each later one is twice as long
    retry_after: bool = True  # send the header with 429 and 418
    grace_ms: int = 250  # requests this soon after the first 418 count as already in flight


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one request gets, and what the reply's headers and text say."""

    status: int  # 200, 429 or 418
    used: int
    retry_after_s: int | None = None
    banned_until_ms: int = 0  # 0: not told


@dataclass(slots=True)
class Limiter:
    """The counter of one address."""

    rules: Rules
    minute: int = -1
    own: int = 0  # weight of the requests seen here
    burned: int = 0  # weight burned by others
    refused_in_minute: int = 0
    bans: int = 0
    ban_from_ms: int = 0
    ban_until_ms: int = 0
    ban_length_ms: int = 0
    ban_header: bool = True  # this ban's replies carry Retry-After
    ban_text: bool = True  # and tell its end in their text
    count_429: int = 0
    count_418: int = 0
    during_ban: int = 0  # requests that arrived within a ban
    during_ban_late: int = 0  # those of them too late to have been in flight
    last_into_ban_ms: int = 0  # how deep into the ban the last one came

    def used(self, now_ms: int) -> int:
        """Weight used in this minute, by us and by others."""
        self._turn(now_ms)
        return self.own + self.burned

    def charge(self, weight: int, now_ms: int) -> Verdict:
        """Count one request. Refused ones count as well."""
        self._turn(now_ms)
        self.own += weight
        used = self.used(now_ms)
        if self.banned(now_ms):
            return self._refused(used, now_ms)
        if used <= self.rules.limit:
            return Verdict(200, used)
        if self.refused_in_minute >= self.rules.ban_after:
            self.ban(self._ban_length_s(), now_ms, header=self.rules.retry_after)
            self.count_418 += 1
            return self._told(used, now_ms)
        self.refused_in_minute += 1
        self.count_429 += 1
        wait_s = math.ceil((MINUTE_MS - now_ms % MINUTE_MS) / 1000)
        return Verdict(429, used, wait_s if self.rules.retry_after else None)

    def banned(self, now_ms: int) -> bool:
        return now_ms < self.ban_until_ms

    def ban(self, seconds: float, now_ms: int, *, header: bool = True, text: bool = True) -> None:
        """Begin a ban; its end is told in a header, in the text, or not at all."""
        self.ban_header, self.ban_text = header, text
        self.bans += 1
        self.ban_length_ms = int(seconds * 1000)
        self.ban_from_ms, self.ban_until_ms = now_ms, now_ms + self.ban_length_ms

    def _refused(self, used: int, now_ms: int) -> Verdict:
        """A request during a ban starts its time anew."""
        into_ms = now_ms - self.ban_from_ms
        self.count_418 += 1
        self.during_ban += 1
        self.during_ban_late += into_ms > self.rules.grace_ms
        self.last_into_ban_ms = into_ms
        if into_ms > self.rules.grace_ms:
            self.ban_until_ms = now_ms + self.ban_length_ms
        return self._told(used, now_ms)

    def _told(self, used: int, now_ms: int) -> Verdict:
        wait_s = math.ceil((self.ban_until_ms - now_ms) / 1000)
        return Verdict(418, used, wait_s if self.ban_header else None, self.ban_until_ms if self.ban_text else 0)

    def _ban_length_s(self) -> float:
        return min(LONGEST_BAN_S, self.rules.ban_s * 2.0**self.bans)

    def _turn(self, now_ms: int) -> None:
        minute = now_ms // MINUTE_MS
        if minute != self.minute:
            self.minute, self.own, self.burned, self.refused_in_minute = minute, 0, 0, 0
