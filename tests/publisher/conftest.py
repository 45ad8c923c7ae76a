"""A loopback backend for what is tested in this process; the real one and a real publisher for the rest."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from dev.processes import Child
from dev.redis_server import EmbeddedRedis
from services.publisher.backend import Backend
from shared import http, store
from shared.clock import SystemClock
from tests.backend.stand_in import Backend as StandIn
from tests.backend.stand_in import start
from tests.publisher.forked import Forked
from tests.publisher.harness import Publisher
from tests.publisher.loopback import Loopback


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    server = Loopback()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with http.client(connections=4) as opened:
        yield opened


@pytest.fixture
def backend(loopback: Loopback, client: httpx.AsyncClient) -> Backend:
    return Backend(loopback.url, "the-key", client, SystemClock(), 0.3)


@pytest.fixture(scope="session")
def node() -> Iterator[StandIn]:
    stand_in = StandIn(start(API_KEY=Publisher.KEY))
    yield stand_in
    stand_in.close()


@pytest.fixture
def stand_in(node: StandIn) -> StandIn:
    node.http.post("/control/reset").raise_for_status()
    return node


@pytest.fixture(scope="session")
def shared_process(
    tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis, node: StandIn
) -> Iterator[Child]:
    env = Publisher.settings(redis_server.url, node.url)
    child = Child("publisher", [sys.executable, "-m", "services.publisher"], env, tmp_path_factory.mktemp("publisher"))
    yield child
    child.stop()


@pytest.fixture
async def own_redis(redis: Redis, redis_url: str) -> AsyncIterator[Redis]:
    """Another database of the same server, emptied with it: the shared publisher does not see it."""
    opened = store.connect(own_url(redis_url))
    yield opened
    await opened.aclose()


def own_url(redis_url: str) -> str:
    return redis_url.removesuffix("/0") + "/1"


@pytest.fixture
async def publisher(
    tmp_path: Path, redis: Redis, own_redis: Redis, redis_url: str, stand_in: StandIn, shared_process: Child
) -> AsyncIterator[Callable[..., Publisher]]:
    """A publisher for the test to start: one shared by the tests, or one of its ``own``, with settings of its own."""
    made: list[Publisher] = []

    def make(*, own: bool = False, **env: str) -> Publisher:
        if own or env:
            child = Forked(Publisher.settings(own_url(redis_url), stand_in.url, **env), tmp_path)
            made.append(Publisher(child, own_redis, stand_in))
        else:
            made.append(Publisher(shared_process, redis, stand_in))
        return made[-1]

    yield make
    for one in made:
        await one.close()
        if one.child is not shared_process:
            one.child.stop()
