"""A TCP proxy that misbehaves on demand: latency, stall, one-way cut, RST, refusal. Times in seconds.

A cut holds bytes back and lets them go on when it heals, as TCP's own retransmission does. A connection made during a
cut is accepted and hears nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Literal

Way = Literal["up", "down"]  # up: from the service to the server behind the proxy
Heard = Callable[[Way, bytes], None]
CHUNK = 65_536
CHUNKS_HELD = 64  # per connection and way; then the sender feels the back-pressure
RST = struct.pack("ii", 1, 0)


class Proxy:
    """One listener in front of one port of the loopback. ``heard`` gets every chunk as it passes."""

    def __init__(self, port: int, target: int, heard: Heard | None = None) -> None:
        self.port = port
        self.target = target
        self.latency_s = 0.0
        self.rewrite: tuple[bytes, bytes] | None = None  # of what is sent up: (what, by what)
        self._heard = heard
        self._flow: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        for gate in self._flow.values():
            gate.set()

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK)

    def refuse(self) -> None:
        """Nobody listens any more, and whoever is connected is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def cut(self, *ways: Way) -> None:
        for way in ways:
            self._flow[way].clear()

    def reset(self) -> None:
        """RST to both ends of every connection; later ones are served."""
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            writer.transport.abort()

    async def heal(self) -> None:
        self.latency_s, self.rewrite = 0.0, None
        for gate in self._flow.values():
            gate.set()
        await self.listen()

    async def close(self) -> None:
        self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):  # a task of the server's own: nobody else would hear of it
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        self._writers.add(back)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry("up", reader, back))
                both.create_task(self._carry("down", there, writer))
        except* (OSError, EOFError):
            pass
        finally:
            back.transport.abort()
            self._writers.discard(back)

    async def _carry(self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Read and write at paces of their own, so that latency delays without throttling."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_HELD)
        loop = asyncio.get_running_loop()

        async def write() -> None:
            while True:
                due_s, chunk = await held.get()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                await self._flow[way].wait()
                if not chunk:
                    raise EOFError  # ends both ways
                if self._heard is not None:
                    self._heard(way, chunk)
                sink.write(self._changed(way, chunk))
                await sink.drain()

        async with asyncio.TaskGroup() as halves:
            halves.create_task(write())
            while True:
                chunk = await source.read(CHUNK)
                await held.put((loop.time() + self.latency_s, chunk))
                if not chunk:
                    return

    def _changed(self, way: Way, chunk: bytes) -> bytes:
        return chunk.replace(*self.rewrite) if self.rewrite and way == "up" else chunk
