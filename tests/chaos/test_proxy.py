"""The proxy must do to a connection what it says, and nothing when nothing is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dev.redis_server import free_port
from tests.chaos.manners import GRACE_S, Manners
from tests.chaos.proxy import Proxy

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(4096):
                writer.write(chunk)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    target = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", target)
    front = Proxy(free_port(), target)
    await front.listen()
    yield front
    await front.close()
    server.close()


async def connect(proxy: Proxy) -> Ends:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def say(ends: Ends, text: bytes, within_s: float = 30.0) -> bytes:
    ends[1].write(text)
    return await asyncio.wait_for(ends[0].readexactly(len(text)), within_s)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_cut_holds_bytes_until_it_heals(proxy: Proxy, way: str) -> None:
    ends = await connect(proxy)
    proxy.cut(way)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        await say(ends, b"hello", within_s=0.2)
    await proxy.heal()
    assert await asyncio.wait_for(ends[0].readexactly(5), 30) == b"hello"
    ends[1].close()


async def test_latency_delays_each_way(proxy: Proxy) -> None:
    ends = await connect(proxy)
    proxy.latency_s = 0.2
    begun_s = asyncio.get_running_loop().time()
    await say(ends, b"hello")
    assert asyncio.get_running_loop().time() - begun_s >= 0.4
    ends[1].close()


class Times:
    s = 100.0

    def __call__(self) -> float:
        return self.s


def refusal(status: int, header: str = "", body: str = "") -> bytes:
    return f"HTTP/1.1 {status} x\r\nServer: s\r\n{header}\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "told_s"),
    [
        (refusal(429, "Retry-After: 7\r\n"), 7.0),
        (refusal(418, "retry-after: 9\r\n"), 9.0),
        (refusal(418, body="IP banned until 1764720012000."), 12.0),
        (refusal(418), 120.0),
        (refusal(429), 60.0),
    ],
)
def test_requests_in_forbidden_time_are_counted(answer: bytes, told_s: float) -> None:
    """A column that cannot turn proves nothing."""
    now = Times()
    manners = Manners(now, lambda: 1764720000.0)
    manners.heard("up", b"GET /before HTTP/1.1\r\n")
    manners.heard("down", answer)
    manners.heard("up", b"GET /in-flight HTTP/1.1\r\n")
    now.s += GRACE_S + 0.01
    manners.heard("up", b"GET /early HTTP/1.1\r\n")
    now.s = 100.0 + told_s - 0.01
    manners.heard("up", b"GET /late HTTP/1.1\r\n")
    now.s = 100.0 + told_s
    manners.heard("up", b"GET /after HTTP/1.1\r\n")

    assert manners.during_ban == ["GET /early HTTP/1.1", "GET /late HTTP/1.1"]
