"""The API in this process, on a free port, over the real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from yarl import URL

from services.funding_api.app import Api, listen
from services.funding_api.metrics import Metrics
from services.funding_api.settings import Settings
from services.funding_api.snapshot import Reader
from services.funding_api.venues import Venues
from shared.settings import load
from tests.fakes import FakeClock


class Client:
    """Asks the API at ``origin``; each answer is (status, body). ``registry`` holds the API's metrics."""

    def __init__(self, origin: str, session: aiohttp.ClientSession, registry: CollectorRegistry) -> None:
        self.origin = origin
        self.session = session
        self.registry = registry

    async def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        url = URL(self.origin + path, encoded=True)
        async with self.session.request(method, url) as answer:
            assert answer.headers["Content-Type"].startswith("application/json")
            return answer.status, await answer.json()


@pytest.fixture
async def api(redis: Redis, clock: FakeClock) -> AsyncIterator[Client]:
    """Its clock is the test's, so that a shared read stays fresh until the test moves on."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    served = Api(load(Settings, {}), Reader(redis, metrics, clock), Venues(redis, metrics, clock), metrics, clock)
    async with listen(served.app(), "127.0.0.1", 0) as origin, aiohttp.ClientSession() as session:
        yield Client(origin, session, registry)
