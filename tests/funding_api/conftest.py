"""The API in this process, on a free port, over the real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
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
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import Reading, Writer
from shared.changes import changes
from shared.history.block import Row
from shared.history.file import Series
from shared.settings import load
from shared.store import CHANGES, round_trip
from tests.builders import NOW_MS
from tests.fakes import FakeClock

HOUR_AGO_MS = NOW_MS - 3_600_000


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


class Past:
    """The keeper's file: an hour of BTCUSDT in minutes with a gap of ten, and a ticker that was used twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        writer = Writer(open_to_write(str(path)))
        btc = [n for n in range(60) if not 20 <= n < 30]
        writer.add(
            Reading(Series("BTCUSDT", 0), Row(HOUR_AGO_MS + n * 60_000, f"{1000 + n}.50", f"93041.{n}0")) for n in btc
        )
        writer.add([Reading(Series("LITUSDT", 0), Row(HOUR_AGO_MS, "7.5", None))])
        writer.add([Reading(Series("LITUSDT", HOUR_AGO_MS + 600_000), Row(HOUR_AGO_MS + 1_200_000, "900.5", "1.0"))])
        writer.db.close()

    async def told(self, redis: Redis) -> None:
        """As the keeper writes it."""
        now, base = Row(NOW_MS, "110.0", "210.0"), Row(NOW_MS - 301_000, "100.0", "200.0")
        async with round_trip(redis) as pipe:
            CHANGES.put(pipe, {"BTCUSDT": changes(now, {"5m": base}), "ETHUSDT": changes(now, {})})


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "history.db")


@pytest.fixture
async def api(redis: Redis, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Client]:
    """Its clock is the test's, so that a shared read stays fresh until the test moves on."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    settings = load(Settings, {"HISTORY_PATH": str(tmp_path / "history.db")})
    served = Api(settings, Reader(redis, metrics, clock), Venues(redis, metrics, clock), metrics, clock)
    async with listen(served.app(), "127.0.0.1", 0) as origin, aiohttp.ClientSession() as session:
        yield Client(origin, session, registry)
