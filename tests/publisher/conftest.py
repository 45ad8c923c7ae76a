"""A loopback backend, and what is tested with it in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from redis.asyncio import Redis

from services.publisher import outbox
from services.publisher.backend import Backend
from shared import http, store
from shared.clock import SystemClock
from tests.fakes import FakeClock
from tests.publisher.desk import Desk
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


@pytest.fixture
async def other_db(redis: Redis, redis_url: str) -> AsyncIterator[Redis]:
    """Another database of the same server, emptied with it."""
    opened = store.connect(redis_url.removesuffix("/0") + "/1")
    yield opened
    await opened.aclose()


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
