"""``oi:ban``: until when the exchange wants to hear nothing from this address; a restart does not forget it.

A ban belongs to an address, so each has a key of its own, ``oi:ban:<egress>``: EGRESS_ID, else the proxy's address,
else the host's name. One under ``oi:ban`` itself, as earlier versions wrote it, is for every address. What another
venue said stands under ``oi:ban:<venue>``.

A 429's Retry-After is kept here too: what one service was told, the other must obey.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.clock import Clock
from shared.errors import Banned, RateLimited, Transient
from shared.numbers import whole
from shared.store import BAN, redis_faults

LONGEST_S = 7 * 86_400.0
MARGIN_S = 1.0  # Retry-After and Date are whole seconds, and a request a moment too early extends the ban


def ban_key(egress: str) -> str:
    return f"{BAN}:{egress}" if egress else BAN


def longest(kept: Iterable[Any]) -> int:
    """The latest end, in Unix ms; 0 for none, and for what is no number."""
    return max((whole(blob) or 0 for blob in kept), default=0)


class Ban:
    """The memory of one process, and its copy in Redis, ``unfenced``: an address is banned, whoever does the work now.

    The wait runs on the monotonic clock, so that a wall clock that is set back does not prolong it. ``until_ms`` is its
    end as this host's wall clock told it then, in Unix ms; 0: nothing was ever said.
    """

    def __init__(self, redis: Redis, clock: Clock, egress: str = "", *, venue: str = "") -> None:
        self._redis = redis
        self._key = ban_key(venue or egress)
        self.address = self._key.removeprefix(BAN)  # what tells it from another's
        self._clock = clock
        self.until_ms = 0
        self._ends_s = -math.inf  # monotonic
        self._told: type[RateLimited] = Banned

    def remaining_s(self) -> float:
        return max(0.0, self._ends_s - self._clock.monotonic_s())

    def check(self) -> None:
        """Raise `RateLimited`, or `Banned` if it was a 418 or another process was told, while nothing may be sent."""
        remaining_s = self.remaining_s()
        if remaining_s > 0:
            said = f"nothing may be sent for {remaining_s:.0f} s more"
            raise Banned(said, remaining_s, self.until_ms) if self._told is Banned else RateLimited(said, remaining_s)

    async def record(self, told: RateLimited) -> None:
        """Keep what the exchange said, at once in memory. Redis may be away: `refresh` writes it later."""
        wait_s = (told.retry_after_s or 0.0) + MARGIN_S
        if wait_s > self.remaining_s():
            self._keep(wait_s, Banned if isinstance(told, Banned) else RateLimited)
            with contextlib.suppress(Transient):
                await self._save()

    async def refresh(self) -> None:
        """Learn what another service, or this one before its restart, was told. Raises `Transient`.

        What Redis lacks is written again: it may have been away when it was told, or come back empty. So is what this
        process wrote before its wall clock was set: whoever reads it now would wait for another time.
        """
        async with redis_faults():
            kept_ms = longest(await self._redis.mget(self._key, BAN))
        kept_s, remaining_s = (kept_ms - self._clock.now_ms()) / 1000, self.remaining_s()
        if kept_s > remaining_s + MARGIN_S and kept_ms != self.until_ms:
            self._keep(min(kept_s, LONGEST_S), Banned)  # typed by hand, it could be centuries
        elif remaining_s and abs(kept_s - remaining_s) > MARGIN_S:
            self.until_ms = self._clock.now_ms() + round(remaining_s * 1000)
            await self._save(kept_ms)

    def _keep(self, wait_s: float, told: type[RateLimited]) -> None:
        self._ends_s = self._clock.monotonic_s() + wait_s
        self.until_ms = self._clock.now_ms() + round(wait_s * 1000)
        self._told = told

    async def _save(self, instead_of_ms: int = 0) -> None:
        """Write it, unless Redis holds a longer one: a 429 of one service must not shorten the 418 of another."""

        async def keep_longest(pipe: Pipeline) -> None:
            kept_ms = whole(await pipe.get(self._key)) or 0
            pipe.multi()  # type: ignore[no-untyped-call]
            if kept_ms < self.until_ms or kept_ms == instead_of_ms:
                pipe.set(self._key, self.until_ms, px=math.ceil(self.remaining_s() * 1000))

        async with redis_faults():
            await self._redis.transaction(keep_longest, self._key)
