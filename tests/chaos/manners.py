"""Was the exchange asked for anything it had forbidden? Read off the wire of the REST proxy; instants are monotonic s.

A 429 forbids until its Retry-After, a 418 until the end of the ban, whichever client was told. Requests that were in
flight when the first refusal was on its way do not count: they are those of the next `GRACE_S`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from tests.chaos.proxy import Way

GRACE_S = 0.25
UNTOLD_S = {429: 60.0, 418: 120.0}  # where the refusal names no end
_REFUSAL = re.compile(rb"HTTP/1\.1 (429|418) ")
_RETRY_AFTER = re.compile(rb"(?i)\r\nRetry-After: (\d+)\r\n")
_UNTIL = re.compile(rb"banned until (\d{13})")


class Manners:
    """Counts requests in forbidden time. ``heard`` is what a proxy calls with each chunk."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._from_s = 0.0
        self._until_s = 0.0
        self.refusals = 0
        self.during_ban: list[str] = []  # the request lines

    @property
    def banned_s(self) -> float:
        """How long it is still forbidden to ask."""
        return max(0.0, self._until_s - self._clock())

    def heard(self, way: Way, chunk: bytes) -> None:
        now_s = self._clock()
        if way == "up":
            if chunk.startswith(b"GET ") and self._from_s + GRACE_S < now_s < self._until_s:
                self.during_ban.append(chunk.partition(b"\r\n")[0].decode(errors="replace"))
        elif told := _REFUSAL.match(chunk):
            self.refusals += 1
            if now_s >= self._until_s:
                self._from_s = now_s
            self._until_s = max(self._until_s, now_s + self._told_s(int(told[1]), chunk))

    def forget(self) -> None:
        """Begin anew: a ban that was lifted from outside forbids nothing any more."""
        self._until_s = 0.0
        self.refusals = 0
        self.during_ban.clear()

    def _told_s(self, status: int, chunk: bytes) -> float:
        if header := _RETRY_AFTER.search(chunk):
            return float(header[1])
        if text := _UNTIL.search(chunk):
            return int(text[1]) / 1000 - self._wall()
        return UNTOLD_S[status]
