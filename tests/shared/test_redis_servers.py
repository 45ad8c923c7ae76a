"""Which servers will do, and that what the services ask of Redis is answered by each kind on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cli.state import read
from dev.redis_server import EmbeddedRedis
from shared import store
from shared.ban import Ban
from shared.errors import RateLimited, SettingsError
from shared.heartbeat import tell
from shared.store import require_version, round_trip, server_version, too_old
from shared.sweeplog import SweepReader, append
from tests.builders import reading, sweep
from tests.cli.world import World
from tests.fakes import FakeClock, service
from tests.redis_servers import ScriptedRedis, servers


@pytest.fixture(params=servers().items(), ids=lambda server: server[0])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    started = EmbeddedRedis(binary=request.param[1])
    yield started
    started.close()


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    connected = store.connect(server.url)
    yield connected
    await connected.aclose()


async def test_what_the_services_ask_is_answered(client: Redis, clock: FakeClock) -> None:
    await require_version(client)
    await World().write(client)
    await tell(service(clock, client, "publisher"))
    async with round_trip(client) as pipe:
        append(pipe, sweep(reading()))
    reader = SweepReader(client, "publisher", "one")
    taken = await reader.wait(10)
    await reader.acknowledge(taken[0].entry_id)
    await Ban(client, clock).record(RateLimited("slower", 60.0))

    seen = await read(client)

    assert len(taken) == 2
    assert len(await reader.unacknowledged(10)) == 1
    assert seen.groups == {"publisher"}
    assert seen.beats["publisher"]["state"] == "starting"
    assert await client.exists("oi:ban")


@pytest.mark.parametrize("version", ["5 or older", "3.2.1", "6.0.16", "6.1.240"])
def test_an_old_server_is_named_with_what_is_needed(version: str) -> None:
    assert too_old(version) == f"Redis {version} is there, and 6.2 or newer is needed, or Valkey"


@pytest.mark.parametrize("version", ["6.2.14", "6.2", "7.0.15", "7.2.4", "8.0.0", "10.1", "255.255.255", "?", ""])
def test_a_newer_server_will_do(version: str) -> None:
    assert too_old(version) == ""


@given(st.text())
def test_any_version_can_be_judged(version: str) -> None:
    assert version in too_old(version) or too_old(version) == ""


HELLO_6_0 = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.0.16\r\n"
UNKNOWN = b"-ERR unknown command `HELLO`, with args beginning with: \r\n"  # as Redis 5 has it


@pytest.mark.parametrize(("hello", "version"), [(HELLO_6_0, "6.0.16"), (UNKNOWN, "5 or older")])
async def test_a_start_on_an_old_server_is_refused(hello: bytes, version: str) -> None:
    server = ScriptedRedis({b"HELLO": hello}, otherwise=b"+OK\r\n")
    async with server, store.connect(server.url) as client:
        assert await server_version(client) == version
        with pytest.raises(SettingsError, match=f"Redis {version} is there"):
            await require_version(client)
