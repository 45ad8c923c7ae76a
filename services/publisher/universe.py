"""The liquid universe -> the backend: when its symbols change, and every five minutes. The backend drops what is not
listed, so an empty universe, as an emptied Redis shows it, is never sent.
"""

from __future__ import annotations

from typing import NoReturn

from redis.asyncio import Redis

from services.publisher.backend import Backend
from services.publisher.metrics import Metrics
from services.publisher.report import Report
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.model import backend_key
from shared.store import UNIVERSE

LOOK_EVERY_S = 2.0
SEND_EVERY_S = 300.0
RETRY_MAX_S = 60.0


class UniverseDelivery:
    def __init__(
        self, redis: Redis, backend: Backend, report: Report, metrics: Metrics, clock: Clock, *, audited: bool
    ) -> None:
        self._audited = audited
        self._redis = redis
        self._backend = backend
        self._report = report
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff(1.0, RETRY_MAX_S)
        self._sent: set[str] = set()
        self._sent_s = 0.0

    async def run(self) -> NoReturn:
        while True:
            wait_s = LOOK_EVERY_S
            try:
                await self.deliver_if_due()
            except (Transient, Refused, Rejected, WireError) as e:
                wait_s = e.retry_after_s if isinstance(e, RateLimited) and e.retry_after_s else self._backoff.next_s()
                self._metrics.deliveries.labels("universe", "failed").inc()
                self._report.complain("universe not delivered", e, retry_s=wait_s)
            await self._clock.sleep(wait_s)

    async def deliver_if_due(self) -> None:
        members = await UNIVERSE.all(self._redis, self._metrics.bad_in_redis)
        now_s = self._clock.monotonic_s()
        if not members or (members.keys() == self._sent and now_s - self._sent_s < SEND_EVERY_S):
            return
        await self._backend.update_universe(members.values())
        await self._compare({backend_key(symbol) for symbol in members})
        self._sent, self._sent_s = set(members), now_s
        self._backoff.reset()
        self._metrics.deliveries.labels("universe", "delivered").inc()
        self._report.universe(len(members))

    async def _compare(self, sent: set[str]) -> None:
        if not self._audited:
            return
        differing = sent ^ await self._backend.read_universe()
        if differing:
            raise Transient(f"the universe served differs from the one sent in {len(differing)} symbols")
