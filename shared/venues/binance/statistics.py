"""``openInterestHist``: the exchange's own statistic of the past, asked for within the one limit of an address.

The route weighs nothing and has a limit of its own, 1,000 requests in five minutes for the whole address. All who ask
count in Redis, minute by minute, and leave a tenth to strangers. A 429 here is about that limit: who
asked waits, and nobody else. During a ban nothing is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from shared import http
from shared.backoff import Backoff
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import Banned, RateLimited, Refused, Transient
from shared.numbers import whole
from shared.service import Service
from shared.store import STATISTICS, redis_faults
from shared.venues.binance.rest import OPEN_INTEREST_HIST, Exchange

MOST = 900
MINUTES = 6  # five whole ones, and the one that has begun
TIMEOUT_S = 5.0
EVERY_S = 0.5
BAN_NAP_S = 30.0
NOT_NOW = "the exchange's statistic cannot be asked for now"


@dataclass
class Quota:
    """``address``: what tells one way to the exchange from another; empty: straight."""

    redis: Redis
    clock: Clock
    address: str

    async def take(self) -> None:
        """Count one request, or raise `RateLimited` where the limit is used up, `Transient` while Redis is away.

        It is counted before it is known to fit: of two who take the last one at once, both may be refused, none let by.
        """
        minute = self.clock.now_ms() // 60_000
        this, *before = (f"{STATISTICS}{self.address}:{minute - ago}" for ago in range(MINUTES))
        async with redis_faults(), self.redis.pipeline(transaction=True) as pipe:
            pipe.incr(this)
            pipe.pexpire(this, MINUTES * 60_000)
            pipe.mget(before)
            count, _, earlier = await pipe.execute()
        if count + sum(whole(blob) or 0 for blob in earlier) > MOST:
            async with redis_faults():
                await self.redis.decr(this)
            raise RateLimited(f"{MOST} requests in five minutes were sent from this address", 60.0)


@dataclass
class Statistics:
    origin: str
    client: httpx.AsyncClient
    ban: Ban
    service: Service

    def __post_init__(self) -> None:
        self._clock, self._health = self.service.clock, self.service.health
        self._exchange = Exchange(self.origin, http.getting(self.client), self.ban, self._clock, TIMEOUT_S)
        self._quota = Quota(self.service.unfenced, self._clock, self.ban.address)  # an address counts, whoever works
        self._backoff = Backoff(2.0, 300.0)

    async def ask(self, symbol: str, period: str, limit: int) -> bytes:
        """The newest ``limit`` periods. Raises what `failure` made of an answer, and `RateLimited` before one."""
        await self.ban.refresh()
        self.ban.check()
        await self._quota.take()
        params = {"symbol": symbol, "period": period, "limit": str(min(500, limit))}
        return await self._exchange.get(OPEN_INTEREST_HIST, params, keeps=Banned)

    async def after_an_answer(self, every_s: float = EVERY_S) -> None:
        """Two symbols a second are asked for at most."""
        self._health.over(NOT_NOW)
        self._backoff.reset()
        await self._clock.sleep(every_s)

    async def after_a_failure(self, error: Transient | Refused) -> None:
        """Wait longer each time, and at least as long as was told."""
        self._health.aside(NOT_NOW, cause=str(error))
        told_s = (error.retry_after_s or 0.0) if isinstance(error, RateLimited) else 0.0
        if isinstance(error, Banned):
            told_s = min(told_s, BAN_NAP_S)  # then look again whether it became longer
        await self._clock.sleep(max(self._backoff.next_s(), told_s))
