"""The whole service in this process: what it says of itself, what it leaves in the state file, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from dev.redis_server import free_port
from services.funding_api.__main__ import look, serve
from services.funding_api.app import Api
from services.funding_api.metrics import Metrics
from services.funding_api.settings import Settings
from services.funding_api.snapshot import Reader
from services.funding_api.venues import Venues
from shared.clock import SystemClock
from shared.errors import Refused
from shared.service import Service
from shared.settings import load
from shared.store import connect
from tests import fakes
from tests.builders import mark
from tests.fakes import FakeClock
from tests.funding_api import stored
from tests.waiting import eventually


def symbols(path: Path) -> set[str]:
    return set(json.loads(path.read_text())["funding_state"])


async def test_a_look_writes_what_is_fresh_and_says_what_cannot_be_relied_on(
    redis: Redis, clock: FakeClock, tmp_path: Path
) -> None:
    """A feed that died, a folder that is gone, a Redis that is away: each with its cause, and well again by itself."""
    path, metrics = tmp_path / "state.json", Metrics(fakes.service(clock).registry)
    settings = load(Settings, {"FUNDING_MAX_AGE_SEC": "3"})

    async def seen(path: Path, redis: Redis = redis) -> str | None:
        api = Api(settings, Reader(redis, metrics, clock), Venues(redis, metrics, clock), metrics, clock)
        return await look(api, path, metrics, clock)

    await stored.store(redis, stored.hashes([mark(received_ms=clock.now_ms())]))
    assert await seen(path) is None
    assert symbols(path) == {"BTCUSDT"}
    assert str(await seen(path, connect("redis://127.0.0.1:1"))).startswith("Redis: ")
    assert symbols(path) == {"BTCUSDT"}
    assert await seen(tmp_path / "gone" / "state.json") == (
        f"STATE_FILE={tmp_path}/gone/state.json: cannot be written: No such file or directory"
    )
    clock.advance(3.25)
    assert str(await seen(path)).startswith("the newest mark is 3.")
    assert symbols(path) == set()

    await stored.store(redis, stored.hashes([mark(received_ms=clock.now_ms())]))
    assert await seen(path) is None
    assert symbols(path) == {"BTCUSDT"}


@asynccontextmanager
async def serving(redis: Redis, **env: str) -> AsyncIterator[tuple[Service, asyncio.Task[None]]]:
    service = fakes.service(SystemClock(), redis)
    job = asyncio.create_task(serve(load(Settings, env), service))
    try:
        yield service, job
    finally:
        job.cancel()
        await asyncio.wait([job])


async def test_it_answers_and_ends_at_once_whoever_is_still_connected(redis: Redis) -> None:
    await stored.store(redis, stored.hashes([mark(received_ms=SystemClock().now_ms())]))
    async with serving(redis, FUNDING_API_PORT=str(free_port())) as (service, job):
        await eventually(lambda: service.health.report().healthy)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{service.facts['address']}/funding/BTCUSDT") as answer:
                assert (answer.status, (await answer.json())["markPrice"]) == (200, 93041.35202399)
            job.cancel()
            ended, _ = await asyncio.wait([job], timeout=30)
            assert ended


async def test_a_second_one_on_the_same_port_says_so_and_ends(redis: Redis) -> None:
    """The likeliest mishap of a migration: the old API still listens there."""
    taken: dict[str, Any] = {"FUNDING_API_PORT": str(free_port())}
    async with serving(redis, **taken) as (first, _):
        await eventually(lambda: "address" in first.facts)
        async with serving(redis, **taken) as (_, second):
            with pytest.raises(Refused, match=f"FUNDING_API_PORT={taken['FUNDING_API_PORT']}: cannot listen there"):
                await second
