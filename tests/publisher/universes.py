"""A universe to be delivered: what the poller left in Redis, and a backend with a table on the loopback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import httpx
from aiohttp import web
from redis.asyncio import Redis

from services.publisher.backend import Backend
from services.publisher.universe import UniverseDelivery
from services.publisher.wire import Away, InDoubt
from shared.errors import Refused
from shared.model import Member
from shared.store import UNIVERSE, round_trip
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.publisher.deliveries import Bench
from tests.publisher.loopback import Loopback

READ = "/api/market/open-interest/liquid-universe"
UPDATE = f"{READ}/update"
LOOK_S, HOLD_S, SEND_S = 20.0, 180.0, 300.0
FORTY = [f"S{n:02}USDT" for n in range(40)]
FEW = FORTY[:4]  # where their number does not matter


class Universe(Bench):
    """What the poller left in Redis, its delivery, and the backend's table."""

    kind = "universe"

    def __init__(self, redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient, **env: str):
        super().__init__(redis, clock, loopback.url, **env)
        self.redis = redis
        self.loopback = loopback
        self.backend = Backend(loopback.url, "the-key", client, clock, 30)
        self.table: dict[str, str] = {}
        loopback.answers["POST", UPDATE] = self.update
        loopback.answers["GET", READ] = self.read
        self.restart()

    def restart(self) -> None:
        self.delivery = UniverseDelivery(backend=self.backend, **self.given())

    async def update(self, _: web.Request) -> web.StreamResponse:
        self.table = {row["symbol"]: row["lastSeenAt"] for row in self.loopback.bodies[-1]["symbols"]}
        return web.json_response({"success": True})

    async def read(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"symbols": [{"symbol": s, "lastSeenAt": at} for s, at in self.table.items()]})

    async def has(self, symbols: Sequence[str]) -> None:
        """The poller's universe is these."""
        members = {s: Member(s, Decimal(5_000_000), NOW_MS, self.clock.now_ms(), 0) for s in symbols}
        async with round_trip(self.redis) as pipe:
            pipe.delete(UNIVERSE.key)
            UNIVERSE.put(pipe, members)

    async def run(self, seconds: float) -> None:
        """The loop for so long, with its own waits; a failure waits ten seconds."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            try:
                self.clock.advance(await self.delivery.look())
            except (InDoubt, Away, Refused):
                self.clock.advance(10)

    def posts(self) -> int:
        return len(self.loopback.posts(UPDATE))

    def looks(self) -> int:
        return sum(request.method == "GET" for request in self.loopback.requests)

    def differing(self, reason: str) -> float:
        return self.count("pipeline_universe_differing_symbols", reason=reason)

    @property
    def facts(self) -> dict[str, str]:
        return self.service.facts


Make = Callable[..., Universe]


async def delivered(make: Make, symbols: Sequence[str] = FORTY, **env: str) -> Universe:
    """Forty symbols are served, and have been for a while."""
    one = make(**env)
    await one.has(symbols)
    await one.run(60)
    assert sorted(one.table) == sorted(symbols)
    return one
