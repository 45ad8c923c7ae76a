"""Fixtures every folder uses: a clock to steer, and a real Redis, emptied for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from tests.fakes import FakeClock, patient

# Properties are judged by their answers, not by how fast a shared machine gives them.
settings.register_profile("answers", deadline=None, max_examples=50)
settings.load_profile("answers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests share running processes last longest and come first: the last worker shall not end alone."""

    def shares(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("asyncio")
        return mark is not None and mark.kwargs.get("loop_scope") in {"module", "session"}

    items.sort(key=shares, reverse=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One server for the tests that leave it alive; a test that kills Redis takes `own_redis`."""
    server = EmbeddedRedis()
    yield server
    server.close()


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    """A server that the test may harm."""
    server = EmbeddedRedis()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    return redis_server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = patient(store.connect(redis_url))
    await client.flushall()
    yield client
    await client.aclose()
