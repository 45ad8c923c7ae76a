"""One WebSocket connection: what it is subscribed to, how its bytes leave, which link faults it suffers.

Frames are written to the transport as they are, the same bytes for every client, and never wait: a client that does
not read for long is cut. Instants are seconds of the loop's clock.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from typing import Any

from aiohttp import web

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
MOST_UNSENT = 32 << 20  # bytes
DRIP_EVERY_S = 0.1
MESSAGES_PER_S = 15


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole unmasked server frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


class Connection:
    """A client; ``market`` tells whether its route carries the market streams at all."""

    def __init__(
        self, number: int, ws: web.WebSocketResponse, transport: asyncio.Transport, route: str, combined: bool
    ) -> None:
        self.number, self.ws, self.transport, self.route, self.combined = number, ws, transport, route, combined
        self.streams: dict[str, None] = {}
        self.opened_s = self.ponged_s = self.pinged_s = time.monotonic()
        self.frames = self.bytes = 0
        self.mute = self.deaf = self.stalled = False
        self.drip: int | None = None
        self._drops: deque[memoryview] = deque()
        self._dripping: asyncio.Task[None] | None = None
        self._recent: deque[float] = deque(maxlen=MESSAGES_PER_S)

    @property
    def market(self) -> bool:
        return self.route == "market"

    def deliver(self, whole: bytes) -> bool:
        """Send a data frame, unless a fault keeps it back."""
        if self.mute or self.deaf or self.stalled or self.transport.is_closing():
            return False
        if self.drip is not None and len(self._drops) > 1:
            return False  # the last frame still trickles
        self.frames += 1
        self.write(whole)
        return True

    def write(self, whole: bytes) -> None:
        """Send any frame, at the pace of the link."""
        if self.stalled or self.transport.is_closing():
            return
        self.bytes += len(whole)
        if self.drip is not None or self._drops:
            self._drops.append(memoryview(whole))
        elif self.transport.get_write_buffer_size() > MOST_UNSENT:
            self.transport.abort()
        else:
            self.transport.write(whole)

    def set_drip(self, bytes_per_s: int | None) -> None:
        """Let bytes trickle; None sends what is left at once."""
        self.drip = bytes_per_s
        if bytes_per_s is not None and self._dripping is None:
            self._dripping = asyncio.get_running_loop().create_task(self._trickle())

    async def _trickle(self) -> None:
        while not self.transport.is_closing() and (self.drip is not None or self._drops):
            room = (
                len(self._drops[0]) if self.drip is None and self._drops else int((self.drip or 0) * DRIP_EVERY_S) or 1
            )
            while room > 0 and self._drops and not self.stalled:
                head = self._drops.popleft()
                self.transport.write(bytes(head[:room]))
                if len(head) > room:
                    self._drops.appendleft(head[room:])
                room -= len(head)
            await asyncio.sleep(DRIP_EVERY_S if self.drip is not None else 0)
        self._dripping = None

    def set_stalled(self, stalled: bool) -> None:
        """Neither read nor write, and let TCP show nothing of it."""
        if stalled is self.stalled or self.transport.is_closing():
            return
        self.stalled = stalled
        if stalled:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def ping(self, payload: str) -> None:
        self.pinged_s = time.monotonic()
        self.write(frame(PING, payload.encode()))

    def too_busy(self) -> bool:
        """Count one incoming message; True if they come faster than the venue takes them."""
        now_s = time.monotonic()
        busy = len(self._recent) == MESSAGES_PER_S and now_s - self._recent[0] < 1
        self._recent.append(now_s)
        return busy

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, whatever faults are in force."""
        self.set_stalled(False)
        self.drip = None
        while self._drops:
            self.transport.write(bytes(self._drops.popleft()))
        await self.ws.close(code=code, message=reason.encode())

    def told(self, index: int) -> dict[str, Any]:
        """This connection in the words of the control route."""
        return {
            "index": index,
            "id": self.number,
            "route": self.route,
            "combined": self.combined,
            "streams": list(self.streams)[:20],
            "stream_count": len(self.streams),
            "age_s": round(time.monotonic() - self.opened_s, 3),
            "frames_sent": self.frames,
            "bytes_sent": self.bytes,
            "mute": self.mute,
            "ack_mute": self.deaf,
            "stalled": self.stalled,
            "drip_bytes_per_s": self.drip,
        }
