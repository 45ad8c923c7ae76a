"""One publisher's delivery in this process: a loopback backend that can be slow, small, forgetful or cached, a real
Redis, and a clock that the test moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from aiohttp import web
from redis.asyncio import Redis

from services.publisher.backend import Backend
from services.publisher.batch import Batches
from services.publisher.delivery import Delivery
from services.publisher.outbox import Outbox
from services.publisher.readback import ReadBack
from services.publisher.report import Report
from shared.clock import iso
from shared.model import Sweep
from tests.builders import reading, sweep
from tests.fakes import FakeClock
from tests.publisher import landing
from tests.publisher.deliveries import Bench
from tests.publisher.loopback import Loopback

INGEST = ("POST", "/api/market/open-interest/ingest")
READ = ("GET", "/api/market/open-interest")
SYMBOLS = tuple(f"S{n:02}USDT" for n in range(20))


Shows = Callable[[dict[str, Any], int | None], tuple[dict[str, Any], int | None]]


class Node:
    """The backend behind a `Loopback`: arrival time as asOf, one cache, and a database of rows."""

    def __init__(self, loopback: Loopback, clock: FakeClock) -> None:
        self.clock = clock
        self.loopback = loopback
        self.cache: dict[str, Any] = {}
        self.as_of_ms: int | None = None
        self.replaces = False
        self.most_rows = 10_000
        self.post_s = 0.05  # how long a POST takes, by the clock
        self.stores = True
        self.shows: Shows = lambda cache, as_of_ms: (cache, as_of_ms)  # what a look is given of them
        self.loses = 0  # POSTs that are answered with 200 and change nothing
        self.ttl_s = 0.0  # of an edge cache before the GET that obeys no request
        self.tells = True  # that cache says how old its answer is
        self.rows: list[tuple[str, str]] = []  # of the database: timestamp, symbol
        self.answers: list[int | str] = []  # a status for each of the next POSTs; "taken": taken, and 502 all the same
        self.sizes: list[int] = []  # rows of each POST that came
        self._edge: dict[str, tuple[float, bytes]] = {}  # by address
        loopback.answers[INGEST] = self.ingest
        loopback.answers[READ] = self.read

    async def ingest(self, _: web.Request) -> web.StreamResponse:
        batch = self.loopback.bodies[-1]
        self.sizes.append(len(batch["data"]))
        said = self.answers.pop(0) if self.answers else 200
        if isinstance(said, int) and said != 200:
            return web.json_response({"error": "no"}, status=said, headers={"Retry-After": "2"} if said == 429 else {})
        if len(batch["data"]) > self.most_rows:
            return web.json_response({"error": "too large"}, status=413)
        self.clock.advance(self.post_s)
        if self.loses:
            self.loses -= 1
            return web.json_response({"success": True, "inserted": len(batch["data"])})
        values = {row["symbol"]: row["openInterestUsd"] for row in batch["data"]}
        self.cache = values if self.replaces else {**self.cache, **values}
        self.as_of_ms = self.clock.now_ms()
        if self.stores:
            self.rows += [(batch["timestamp"], symbol) for symbol in values]
        if said == "taken":
            return web.Response(status=502, text="<html>bad gateway</html>")
        inserted = len(values) if self.stores else 0
        errors = [] if self.stores else [f"Failed to insert {symbol}" for symbol in values]
        return web.json_response(
            {"success": self.stores, "inserted": inserted, "cached": len(values), "errors": errors}
        )

    async def read(self, request: web.Request) -> web.StreamResponse:
        data, as_of_ms = self.shows(self.cache, self.as_of_ms)
        fresh = web.json_response({"data": data, "asOf": as_of_ms})
        if not self.ttl_s:
            return fresh
        now_s = self.clock.monotonic_s()
        kept_s, kept = self._edge.get(request.path_qs, (-self.ttl_s, b""))
        if now_s - kept_s >= self.ttl_s:
            assert isinstance(fresh.body, bytes)
            self._edge[request.path_qs] = (now_s, fresh.body)
            return fresh
        told = {"Age": str(int(now_s - kept_s)), "X-Cache": "HIT"} if self.tells else {}
        return web.Response(body=kept, headers={**told, "Content-Type": "application/json"})

    def restart(self) -> None:
        self.cache, self.as_of_ms = {}, None

    def stored(self) -> list[str]:
        """Timestamps of the batches in the database, in the order they came; twice where one came twice."""
        first = min((symbol for _, symbol in self.rows), default="")
        return [timestamp for timestamp, symbol in self.rows if symbol == first]


class Desk(Bench):
    """What is needed to deliver sweeps, and to see what came of it."""

    def __init__(self, redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient, **env: str):
        self.redis = redis
        self.clock = clock
        self.loopback = loopback
        self.node = Node(loopback, clock)
        self.client = client
        self.env = env
        self.landed: list[Sweep] = []
        self.restart()

    def restart(self) -> None:
        """A new process: nothing is known but what Redis holds."""
        super().__init__(self.redis, self.clock, self.loopback.url, **self.env)
        self.report = Report(self.service, self.metrics, self.settings.verified_max_age_s)
        self.outbox = Outbox(self.redis)
        backend = Backend(self.loopback.url, "the-key", self.client, self.clock, self.settings.timeout_s)
        readback = ReadBack(self.settings.audit, backend, self.outbox, self.clock)
        self.batches = Batches(self.settings, backend, readback, self.outbox, self.metrics, self.clock)
        self.delivery = Delivery(self.settings, self.service, self.outbox, self.batches, self.report, self.metrics)

    async def land(self, *, without: str = "", symbols: tuple[str, ...] = SYMBOLS) -> None:
        """A sweep as the poller lands it, with marks of this moment."""
        now_ms = self.clock.now_ms()
        readings = [
            reading(
                symbol,
                f"{1000 + len(self.landed) + i}",
                received_ms=now_ms,
                price=None if symbol == without else str(1 + i),
            )
            for i, symbol in enumerate(symbols)
        ]
        self.landed.append(sweep(*readings, ended_ms=now_ms))
        await landing.land(self.redis, self.landed[-1])

    async def land_next(self) -> None:
        """One ten seconds after the last."""
        self.clock.advance(10)
        await self.land()

    async def step(self) -> float:
        """One round, and the wait that it asks for."""
        wait_s = await self.delivery.step()
        self.clock.advance(wait_s)
        return wait_s

    async def until_delivered(self, steps: int = 60) -> None:
        for _ in range(steps):
            await self.step()
            if (
                not self.outbox.attempt
                and self.landed
                and self.outbox.delivered_id.startswith(str(self.landed[-1].ended_ms))
            ):
                return
        raise AssertionError(f"not delivered in {steps} rounds: {self.service.health.report()}")

    async def outage(self, sweeps: int) -> None:
        """Sweeps land while the host of the backend turns every POST away."""
        self.node.answers = [402] * 10_000
        for _ in range(sweeps):
            await self.land_next()
            await self.step()
        self.node.answers = []

    async def cycle(self, **how: object) -> str:
        """A sweep ten seconds after the last, delivered; returns its verdict."""
        self.clock.advance(10)
        await self.land(**how)  # type: ignore[arg-type]
        await self.until_delivered()
        return self.verdict

    def fact(self, name: str) -> str:
        return self.service.facts.get(name, "")

    @property
    def verdict(self) -> str:
        return self.fact("verdict")

    @property
    def duplicates(self) -> float:
        return self.count("pipeline_duplicate_posts_total")

    def landed_ms(self, timestamp: str) -> int:
        """When the sweep of that timestamp landed."""
        return next(sweep.ended_ms for sweep in self.landed if iso(sweep.ended_ms) == timestamp)

    def timestamps(self) -> list[str]:
        return [iso(sweep.ended_ms) for sweep in self.landed]
