"""A dead address of a name must not keep us from the living one."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from shared.dial import NEXT_ADDRESS_S, dial


async def listening() -> asyncio.Server:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await asyncio.start_server(leave, "127.0.0.1", 0)


async def test_an_address_that_does_not_answer_is_overtaken_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken IPv6, a dead edge among several: one after the other would cost the deadline each time."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as full:  # its queue is full: a SYN gets no answer
        filling = [socket.socket() for _ in range(2)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        alive = await listening()
        loop = asyncio.get_running_loop()

        async def both(_: str, __: int, *, type: socket.SocketKind) -> list[object]:  # noqa: A002 - the loop's name for it
            there = [full.getsockname(), alive.sockets[0].getsockname()]
            return [(socket.AF_INET, type, socket.IPPROTO_TCP, "", address) for address in there]

        monkeypatch.setattr(loop, "getaddrinfo", both)
        begun_s = time.monotonic()
        async with asyncio.timeout(5):
            with await dial("name.example", 1) as connected:
                assert connected.getpeername() == alive.sockets[0].getsockname()
        assert time.monotonic() - begun_s >= NEXT_ADDRESS_S * 0.9
        for one in filling:
            one.close()
        alive.close()


async def test_nobody_there_is_an_error_of_the_system() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await dial("127.0.0.1", unused.getsockname()[1])
