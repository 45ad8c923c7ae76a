"""``oi:ban``: until when the exchange wants to hear nothing from this address; a restart does not forget it.

A 429's Retry-After is kept here too: what one service was told, the other must obey.
"""

from __future__ import annotations

import contextlib
import math
from typing import cast

from redis.asyncio import Redis

from shared.errors import Banned, RateLimited, Transient
from shared.store import BAN, redis_faults


class Ban:
    """The memory of one process, and its copy in Redis. Instants are Unix ms, ours."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.until_ms = 0
        self._unsaved = False

    def remaining_s(self, now_ms: int) -> float:
        return max(0.0, (self.until_ms - now_ms) / 1000)

    def check(self, now_ms: int) -> None:
        """Raise `Banned` while nothing may be sent."""
        remaining_s = self.remaining_s(now_ms)
        if remaining_s > 0:
            raise Banned(f"banned for {remaining_s:.0f} s more", remaining_s, self.until_ms)

    async def record(self, told: RateLimited, now_ms: int) -> None:
        """Keep what the exchange said. Redis may be away: memory holds it, and `refresh` writes it later."""
        until_ms = told.until_ms if isinstance(told, Banned) else now_ms + int((told.retry_after_s or 0) * 1000)
        if until_ms > self.until_ms:
            self.until_ms = until_ms
            self._unsaved = True
            with contextlib.suppress(Transient):
                await self._save(now_ms)

    async def refresh(self, now_ms: int) -> None:
        """Learn what another service, or this one before its restart, was told. Raises `Transient`."""
        if self._unsaved:
            await self._save(now_ms)
        async with redis_faults():
            text = cast("bytes | None", await self._redis.get(BAN))
        if text and text.isdigit():
            self.until_ms = max(self.until_ms, int(text))

    async def _save(self, now_ms: int) -> None:
        seconds = math.ceil(self.remaining_s(now_ms))
        if seconds > 0:
            async with redis_faults():
                await self._redis.set(BAN, str(self.until_ms), ex=seconds)
        self._unsaved = False
