"""Redis behind Sentinels: what the URL may say, and a failover while a service runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from dev.processes import Child
from shared import store
from shared.clock import iso
from shared.errors import Transient
from shared.sentinel import parse
from tests.sentinels import DOWN_AFTER_MS, NAME, SENTINEL_PASSWORD, Sentinels
from tests.shared.tiny_service import ORDERS
from tests.waiting import eventually

PASSWORD = "correct-horse"


def test_all_that_a_url_says_is_read() -> None:
    told = parse(
        "rediss+sentinel://oi:p%40ss@h1,[::1]:26380,h3:1/main/2"
        "?ssl_ca_certs=/ca.pem&sentinel_username=w&sentinel_password=q%26q&socket_timeout=5"
    )

    assert told.hosts == (("h1", 26379), ("::1", 26380), ("h3", 1))
    assert (told.name, told.tls) == ("main", True)
    assert told.redis == {
        "username": "oi",
        "password": "p@ss",
        "db": 2,
        "ssl_ca_certs": "/ca.pem",
        "socket_timeout": 5.0,
    }
    assert told.sentinel == {"ssl_ca_certs": "/ca.pem", "username": "w", "password": "q&q"}
    assert told.shown == "h1:26379,[::1]:26380,h3:1/main/2"


def test_the_least_it_may_say() -> None:
    told = parse("redis+sentinel://h1/main")

    assert (told.hosts, told.redis, told.sentinel, told.tls) == ((("h1", 26379),), {}, {}, False)


@given(st.text(max_size=8), st.text(max_size=12), st.text(max_size=8))
def test_no_url_whatever_raises_another_error_or_shows_its_password(a: str, b: str, c: str) -> None:
    try:
        shown = parse(f"redis+sentinel://{a}:{PASSWORD}@{b}/{c}").shown
    except ValueError as e:
        shown = str(e)

    assert PASSWORD not in shown


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Sentinels]:
    started = Sentinels()
    yield started
    started.close()


@pytest.fixture
async def redis(sentinels: Sentinels) -> AsyncIterator[Redis]:
    await sentinels.ready()
    async with store.connect(sentinels.url) as client:
        yield client


async def test_who_may_not_ask_the_sentinels_is_told_so_without_the_password(sentinels: Sentinels) -> None:
    async with store.connect(sentinels.url.replace(SENTINEL_PASSWORD, PASSWORD)) as client:
        with pytest.raises(Transient, match=rf"none of the Sentinels 127\.0\.0\.1:\S+ names a master of {NAME}$") as e:
            await store.server_version(client)

    assert PASSWORD not in str(e.value)


@pytest.mark.long
async def test_a_service_and_oi_go_on_at_the_new_master(sentinels: Sentinels, redis: Redis, tmp_path: Path) -> None:
    """Nothing is configured anew and nothing started again: the service's own waits carry it over."""
    service = Child("tiny", [sys.executable, "-m", "tests.shared.tiny_service"], told(sentinels), tmp_path)
    service.start()
    try:
        await redis.set(ORDERS, "work")
        await eventually(lambda: redis.exists("oi:status:tiny"))
        await eventually(lambda: _has(sentinels.second.port, ORDERS))
        sentinels.first.kill()
        gone_s, since = time.monotonic(), iso(time.time_ns() // 1_000_000)
        await eventually(lambda: _beats(sentinels.second.port, since))
        took_s = time.monotonic() - gone_s

        assert service.status() is None
        assert took_s > DOWN_AFTER_MS / 1000  # it was the Sentinels who decided
        assert "waiting for Redis" in service.log.read_text()
        assert SENTINEL_PASSWORD not in service.log.read_text()
        seen = subprocess.run(
            [sys.executable, "-m", "cli", "status", "--json"],
            env={"PATH": os.environ["PATH"], **told(sentinels)},
            capture_output=True,
            check=False,
        )
        assert json.loads(seen.stdout)["hops"]
        assert SENTINEL_PASSWORD not in seen.stdout.decode() + seen.stderr.decode()
    finally:
        service.stop()


def told(sentinels: Sentinels) -> dict[str, str]:
    return {"REDIS_URL": sentinels.url, "METRICS_PORT": "0"}


async def _has(port: int, key: str) -> bool:
    async with Redis(port=port) as there:
        return bool(await there.exists(key))


async def _beats(port: int, since: str) -> bool:
    async with Redis(port=port) as there:
        beat = await there.hget("oi:status:tiny", "beat")
        return beat is not None and beat.decode() > since
