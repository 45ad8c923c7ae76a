"""``oi:ban``: until when the exchange wants to hear nothing from this address; a restart does not forget it.

A 429's Retry-After is kept here too: what one service was told, the other must obey.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, cast

from redis.asyncio import Redis

from shared.errors import Banned, RateLimited, Transient
from shared.store import BAN, redis_faults

LONGEST_MS = 7 * 86_400_000
MARGIN_MS = 1000  # Retry-After and Date are whole seconds, and a request a moment too early extends the ban

# The longest ban told to any service stays: a 429 of one must not shorten the 418 of another.
_KEEP_LONGEST = """
local kept = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
if kept < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
"""


class Ban:
    """The memory of one process, and its copy in Redis. Instants are Unix ms, ours."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.until_ms = 0
        self._told: type[RateLimited] = Banned

    def remaining_s(self, now_ms: int) -> float:
        return max(0.0, (self.until_ms - now_ms) / 1000)

    def check(self, now_ms: int) -> None:
        """Raise `RateLimited`, or `Banned` if it was a 418 or another process was told, while nothing may be sent."""
        remaining_s = self.remaining_s(now_ms)
        if remaining_s > 0:
            said = f"nothing may be sent for {remaining_s:.0f} s more"
            raise Banned(said, remaining_s, self.until_ms) if self._told is Banned else RateLimited(said, remaining_s)

    async def record(self, told: RateLimited, now_ms: int) -> None:
        """Keep what the exchange said, at once in memory. Redis may be away: `refresh` writes it later."""
        until_ms = told.until_ms if isinstance(told, Banned) else now_ms + int((told.retry_after_s or 0) * 1000)
        until_ms += MARGIN_MS
        if until_ms > self.until_ms:
            self.until_ms = until_ms
            self._told = Banned if isinstance(told, Banned) else RateLimited
            with contextlib.suppress(Transient):
                await self._save(now_ms)

    async def refresh(self, now_ms: int) -> None:
        """Learn what another service, or this one before its restart, was told. Raises `Transient`.

        What Redis lacks is written again: it may have been away when it was told, or come back empty.
        """
        async with redis_faults():
            text = cast("bytes | None", await self._redis.get(BAN))
        kept_ms = int(text) if text and text.isdigit() and len(text) < 16 else 0
        kept_ms = min(kept_ms, now_ms + LONGEST_MS)  # typed by hand, it could be centuries
        if kept_ms > self.until_ms:
            self.until_ms = kept_ms
            self._told = Banned
        elif kept_ms < self.until_ms:
            await self._save(now_ms)

    async def _save(self, now_ms: int) -> None:
        seconds = math.ceil(self.remaining_s(now_ms))
        if seconds > 0:
            async with redis_faults():
                kept = cast("Any", self._redis.eval(_KEEP_LONGEST, 1, BAN, str(self.until_ms), str(seconds)))
                await kept
