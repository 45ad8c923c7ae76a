"""A loopback backend for what is tested in this process; the real one and a real publisher for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from services.publisher import outbox
from services.publisher.backend import Backend
from shared import http, store
from shared.clock import SystemClock
from tests.backend.stand_in import Backend as StandIn
from tests.backend.stand_in import start
from tests.fakes import FakeClock
from tests.publisher.desk import Desk
from tests.publisher.forked import Forked
from tests.publisher.harness import Publisher
from tests.publisher.loopback import Loopback
from tests.publisher.universes import Universe


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    async with Loopback().serving() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Without the certificates, which nothing on the loopback asks for: to read them takes longer than most tests."""
    async with http.Client(httpx.AsyncHTTPTransport(verify=False), proxy=None) as opened:
        yield opened


@pytest.fixture
def backend(loopback: Loopback, client: httpx.AsyncClient) -> Backend:
    return Backend(loopback.url, "the-key", client, SystemClock(), 30)


@pytest.fixture(scope="session")
def node() -> Iterator[StandIn]:
    stand_in = StandIn(start(API_KEY=Publisher.KEY))
    yield stand_in
    stand_in.close()


@pytest.fixture
def stand_in(node: StandIn) -> StandIn:
    node.http.post("/control/reset").raise_for_status()
    return node


@pytest.fixture
async def other_db(redis: Redis, redis_url: str) -> AsyncIterator[Redis]:
    """Another database of the same server, emptied with it."""
    opened = store.connect(own_url(redis_url))
    yield opened
    await opened.aclose()


def own_url(redis_url: str) -> str:
    return redis_url.removesuffix("/0") + "/1"


@pytest.fixture
async def publisher(
    tmp_path: Path, other_db: Redis, redis_url: str, stand_in: StandIn
) -> AsyncIterator[Callable[..., Publisher]]:
    """Publisher processes for the test to start, each with settings of its own; they share a database with nobody."""
    made: list[Publisher] = []

    def make(**env: str) -> Publisher:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        child = Forked(Publisher.settings(own_url(redis_url), stand_in.url, **env), folder)
        made.append(Publisher(child, other_db, stand_in))
        return made[-1]

    yield make
    for one in made:
        one.child.stop()
        await one.close()


@pytest.fixture
def desk(
    redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Desk]:
    """A delivery in this process, with settings of its own; it waits for a new sweep by its own clock alone."""
    monkeypatch.setattr(outbox, "BLOCK_MS", 1)
    return lambda **env: Desk(redis, clock, loopback, client, **env)


@pytest.fixture
def make(redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient) -> Callable[..., Universe]:
    """A universe to be delivered, with settings of its own."""
    return lambda **env: Universe(redis, clock, loopback, client, **env)
