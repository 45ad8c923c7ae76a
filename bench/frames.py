"""A way to the stand-in's stream that notes when each mark frame was handed on, and what MONITOR says of Redis.

Between the two lies all that ws_daemon does with a frame: receive, decode, merge, encode, write.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Sequence

MARKS = b'"markPriceUpdate"'
_EVENT = re.compile(rb'"E":(\d{13})')
_STORED = re.compile(rb'\\"t\\":(\d{13})')
LONGEST = 64 * 1024 * 1024


class Relay:
    """A proxy that hands frames on whole. ``sent_ns`` by the event time that the frame carries, Unix ms."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.sent_ns: dict[int, int] = {}
        self.port = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=LONGEST)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            out = asyncio.create_task(_copy(reader, up_writer))
            try:
                writer.write(await up_reader.readuntil(b"\r\n\r\n"))
                while True:
                    await self._hand_on(await _frame(up_reader), writer)
            finally:
                out.cancel()
                up_writer.close()
                writer.close()

    async def _hand_on(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        """The time is taken before the first byte goes out, so that the way into ws_daemon counts."""
        event = _EVENT.search(frame) if MARKS in frame[:400] else None
        if event:
            self.sent_ns.setdefault(int(event[1]), time.time_ns())
        writer.write(frame)
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One WebSocket frame of a server, header included: never masked."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    more = await reader.readexactly({126: 2, 127: 8}.get(length, 0))
    return head + more + await reader.readexactly(int.from_bytes(more, "big") if more else length)


class Monitor:
    """``seen_ns`` by the newest event time in an ``HSET oi:mark``, at the moment Redis obeyed it, by its clock."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen_ns: dict[int, int] = {}
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=LONGEST)
        try:
            writer.write(b"MONITOR\r\n")
            async for line in reader:
                self.ready.set()
                if b'"HSET" "oi:mark"' in line[:80]:
                    self._note(line)
        finally:
            writer.close()

    def _note(self, line: bytes) -> None:
        seconds, _, micros = line[1 : line.index(b" ")].partition(b".")
        at_ns = int(seconds) * 1_000_000_000 + int(micros.ljust(6, b"0")) * 1000
        for event in {int(found) for found in _STORED.findall(line)}:
            self.seen_ns.setdefault(event, at_ns)


def delays_ms(relay: Relay, monitor: Monitor) -> list[float]:
    """From handed on to visible, for every frame that both have seen."""
    both = relay.sent_ns.keys() & monitor.seen_ns.keys()
    return sorted((monitor.seen_ns[event] - relay.sent_ns[event]) / 1e6 for event in both)


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values: the least that ``share`` of them do not exceed."""
    return values[max(0, math.ceil(len(values) * share) - 1)]
