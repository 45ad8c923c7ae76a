"""After a failover the connections lead to a server that refuses: they are dropped, and the address asked again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis, free_port
from shared import store
from shared.errors import Transient
from shared.store import MARKS, redis_faults, round_trip
from shared.sweeplog import SweepReader, append
from tests.builders import mark, reading, sweep
from tests.chaos.proxy import Proxy
from tests.redis_servers import ScriptedRedis
from tests.waiting import eventually


@contextlib.asynccontextmanager
async def address(port: int) -> AsyncIterator[tuple[Proxy, Redis]]:
    """One address, as a virtual IP or a proxy gives it: new connections go to whoever is the primary now."""
    proxy = Proxy(free_port(), port)
    await proxy.listen()
    async with store.connect(f"redis://127.0.0.1:{proxy.port}/0") as client:
        yield proxy, client
    await proxy.close()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[EmbeddedRedis, EmbeddedRedis]]:
    servers = EmbeddedRedis(), EmbeddedRedis()
    yield servers
    for server in servers:
        server.close()


async def demote(first: EmbeddedRedis, second: EmbeddedRedis) -> None:
    """Roles change as in a failover; the old primary lives, with every connection it had."""
    for server, of in ((second, "NO ONE"), (first, f"127.0.0.1 {second.port}")):
        async with Redis(port=server.port) as admin:
            await admin.execute_command("REPLICAOF", *of.split())


async def test_writes_reach_the_new_primary_without_a_restart(pair: tuple[EmbeddedRedis, EmbeddedRedis]) -> None:
    first, second = pair
    async with address(first.port) as (leads, client):
        await asyncio.gather(*(client.ping() for _ in range(3)))  # several connections, all to the old primary
        await demote(first, second)
        leads.target = second.port

        with pytest.raises(Transient, match="ReadOnlyError"):
            await write(client)
        for _ in range(3):  # whichever connection is taken
            await write(client)

        async with Redis(port=second.port) as there:
            assert await there.hlen(MARKS.key) == 1


async def write(client: Redis) -> None:
    async with round_trip(client) as pipe:
        MARKS.put(pipe, {"BTCUSDT": mark()})
        pipe.hget(MARKS.key, "BTCUSDT")  # a reply that is still to be read when the first one was a refusal


async def test_a_reader_that_waits_is_led_to_the_new_primary(pair: tuple[EmbeddedRedis, EmbeddedRedis]) -> None:
    """The old primary unblocks whoever waits on it, and refuses the next wait: reading of a group is writing."""
    first, second = pair
    async with address(first.port) as (leads, client):
        reader = SweepReader(client, "publisher", "one")
        await reader.ensure_group()
        waiting = asyncio.create_task(reader.wait(1, block_ms=1500))
        async with Redis(port=first.port) as there:
            await eventually(lambda: _blocked(there))
            await demote(first, second)
        leads.target = second.port
        with pytest.raises(Transient):
            await waiting
        async with Redis(port=second.port) as there, there.pipeline() as pipe:
            append(pipe, sweep(reading()))
            await pipe.execute()

        assert len(await reader.wait(1)) == 1


async def _blocked(there: Redis) -> bool:
    return int((await there.info("clients"))["blocked_clients"]) == 1


@pytest.mark.parametrize(
    ("refusal", "connections"),
    [
        ("-READONLY You can't write against a read only replica.", 2),
        ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 2),
        ("-LOADING Redis is loading the dataset in memory", 2),
        ("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", 2),
        ("-ERR of another kind", 1),
    ],
)
async def test_only_a_reply_of_the_wrong_server_ends_its_connection(refusal: str, connections: int) -> None:
    """A server that says it for ever must not be asked for ever."""
    server = ScriptedRedis({b"SET": f"{refusal}\r\n".encode()}, otherwise=b"+OK\r\n")
    async with server, store.connect(f"{server.url}?protocol=2") as client:
        for _ in range(2):
            with pytest.raises(Transient):
                await set_key(client)
        assert server.connections == connections


async def set_key(client: Redis) -> None:
    async with redis_faults():
        await client.set("k", "v")
