"""Every connection we open, to a name whose first address is dead, and to a name that cannot be one.

Nobody answers at 127.0.0.2: its queue is full, so the kernel lets a SYN drop, as a dead host would.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from dev.redis_server import EmbeddedRedis
from services.oi_poller.transport import sweep_client
from shared import http, store
from shared.dial import dial
from shared.errors import Transient
from shared.reply import Reply
from shared.venues.binance.stream import CANNOT_OPEN, open_stream
from tests.served import served

DEAD, ALIVE = "127.0.0.2", "127.0.0.1"
NAME = "two-addresses.test"
PATIENCE_S = 30.0  # the kernel goes on asking a dead address for two minutes
Ask = Callable[[str], Awaitable[object]]


@contextlib.contextmanager
def a_dead_address(port: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket())
        silent.bind((DEAD, port))
        silent.listen(0)
        for _ in range(4):  # fill its queue
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((DEAD, port))
        yield


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver names the dead one first, each time."""
    real = socket.getaddrinfo

    def resolve(host: object, port: object, *args: object, **kwargs: object) -> object:
        if host not in {NAME, NAME.encode()}:
            return real(host, port, *args, **kwargs)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, int(str(port)))) for ip in (DEAD, ALIVE)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def here(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def by_httpx(url: str) -> Reply:
    async with http.client(connections=1) as client:
        return await http.getting(client)(url, None, timeout_s=PATIENCE_S, max_bytes=99)


async def by_aiohttp(url: str) -> Reply:
    async with sweep_client(in_flight=1) as get:
        return await get(url, None, timeout_s=PATIENCE_S, max_bytes=99)


@pytest.mark.parametrize("ask", [by_httpx, by_aiohttp])
async def test_http_passes_by_a_dead_first_address(two_addresses: None, ask: Callable[[str], Awaitable[Reply]]) -> None:
    async with served(web.get("/", here)) as origin:
        port = int(origin.rpartition(":")[2])
        with a_dead_address(port):
            assert (await ask(f"http://{NAME}:{port}/")).body == b"here"


async def test_the_stream_passes_by_a_dead_first_address(two_addresses: None) -> None:
    """Tried one after the other, all addresses shared one time-out, and the stream never came."""

    async def greet(ws: ServerConnection) -> None:
        await ws.send("here")

    async with serve(greet, ALIVE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with a_dead_address(port):
            async with asyncio.timeout(PATIENCE_S), await open_stream(f"ws://{NAME}:{port}", "/") as ws:
                assert await ws.recv() == "here"


async def test_redis_is_found_behind_a_dead_first_address(two_addresses: None) -> None:
    server = EmbeddedRedis()
    try:
        client = store.connect(f"redis://{NAME}:{server.port}/0")
        with a_dead_address(server.port):
            assert await client.ping()
        await client.aclose()
    finally:
        server.close()


async def test_nobody_there_is_an_error_of_the_system() -> None:
    with socket.socket() as unused:
        unused.bind((ALIVE, 0))
        with pytest.raises(ConnectionRefusedError):
            await dial(ALIVE, unused.getsockname()[1])


async def ask_redis(url: str) -> None:
    client = store.connect(url.replace("http", "redis"))
    async with store.redis_faults():
        await client.ping()


@pytest.mark.parametrize("host", ["127..0.0.1", "a..b", f"{'x' * 64}.test"])
@pytest.mark.parametrize("ask", [by_httpx, by_aiohttp, ask_redis])
async def test_a_name_that_cannot_be_one_is_a_fault_of_the_way(ask: Ask, host: str) -> None:
    """Settings refuse it at the start; what gets through anyhow is waited out, and ends no process."""
    with pytest.raises(Transient):
        await ask(f"http://{host}:1")


@pytest.mark.parametrize("host", ["127..0.0.1", "a..b", f"{'x' * 64}.test"])
async def test_the_stream_to_such_a_name_cannot_be_opened(host: str) -> None:
    with pytest.raises(CANNOT_OPEN):
        await open_stream(f"ws://{host}:1")


async def test_redis_behind_a_unix_socket_answers(tmp_path: Path) -> None:
    """The setting took its URL, and each connection ended in a traceback."""
    there = tmp_path / "redis.sock"
    server = EmbeddedRedis(None, "--unixsocket", str(there))
    redis = store.connect(f"unix://{there}?db=1")
    async with store.round_trip(redis) as pipe:
        pipe.set("oi:there", "1")

    assert await redis.get("oi:there") == b"1"
    await redis.aclose()
    server.close()
