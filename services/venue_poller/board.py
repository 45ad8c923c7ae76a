"""What Redis holds of Binance, read once for all venues."""

from __future__ import annotations

from redis.asyncio import Redis

from services.venue_poller.matching import Binance
from services.venue_poller.metrics import Metrics
from shared.clock import Clock
from shared.store import CONTRACTS, MARKS

FRESH_S = 2.0


class Board:
    def __init__(self, redis: Redis, metrics: Metrics, clock: Clock) -> None:
        self._redis = redis
        self._metrics = metrics
        self._clock = clock
        self._read_s = float("-inf")
        self._binance = Binance({}, {}, 0)

    async def binance(self) -> Binance:
        """At most `FRESH_S` old. Raises `Transient`."""
        now_s = self._clock.monotonic_s()
        if now_s - self._read_s >= FRESH_S:
            contracts = await CONTRACTS.all(self._redis, self._metrics.bad_in_redis)
            marks = await MARKS.all(self._redis, self._metrics.bad_in_redis, only=contracts)
            self._binance = Binance(marks, contracts, self._clock.now_ms())
            self._read_s = now_s
        return self._binance
