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

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from dev.redis_server import monitored

MARKS = b'"markPriceUpdate"'
_EVENT = re.compile(rb'"E":(\d{13})')
_STORED = re.compile(rb'\\"t\\":(\d{13})')


class Relay:
    """Passes on what the stand-in sends. ``sent_ns`` by the event time that a frame carries, Unix ms."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.sent_ns: dict[int, int] = {}
        self.port = 0

    async def __aenter__(self) -> Relay:
        self._server = await serve(self._pass_on, "127.0.0.1", 0, compression=None, ping_interval=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _pass_on(self, client: ServerConnection) -> None:
        """The time is taken before the first byte goes out, so that the way into ws_daemon counts."""
        path = client.request.path if client.request else ""
        url = f"ws://127.0.0.1:{self._upstream}{path}"
        with contextlib.suppress(ConnectionClosed):
            async with connect(url, compression=None, max_size=None, ping_interval=None, proxy=None) as exchange:
                while True:
                    frame = await exchange.recv(decode=False)
                    event = _EVENT.search(frame) if MARKS in frame[:400] else None
                    if event:
                        self.sent_ns.setdefault(int(event[1]), time.time_ns())
                    await client.send(frame, text=True)


class Monitor:
    """``seen_ns`` by the newest event time in an ``HSET oi:mark``, at the moment Redis obeyed it, by its clock."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen_ns: dict[int, int] = {}
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        async for line in monitored(self._port, self.ready):
            if b'"HSET" "oi:mark"' in line[:80]:
                self._note(line)

    def _note(self, line: bytes) -> None:
        seconds, _, micros = line[: line.index(b" ")].partition(b".")
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
