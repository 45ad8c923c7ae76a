"""What Redis holds of Binance, read once for all venues."""

from __future__ import annotations

from redis.asyncio import Redis

from services.venue_poller.matching import Binance
from services.venue_poller.metrics import Metrics
from shared.clock import Clock
from shared.store import CONTRACTS, MARKS
from shared.together import Together

FRESH_S = 2.0


def board(redis: Redis, metrics: Metrics, clock: Clock) -> Together[Binance]:
    async def read() -> Binance:
        contracts = await CONTRACTS.all(redis, metrics.bad_in_redis)
        marks = await MARKS.all(redis, metrics.bad_in_redis, only=contracts)
        return Binance(marks, contracts, clock.now_ms())

    return Together(read, FRESH_S, clock)
