"""One connection, from handshake to its end. It proves itself by mark frames, by nothing else.

The routed address is the only one that delivers: since 2026-04-23 the old one connects, acknowledges, answers pings,
and stays silent. The streams stand in the address, so there is no SUBSCRIBE whose acknowledgement could mislead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from services.ws_daemon.board import Merged
from services.ws_daemon.coverage import Coverage

STREAMS = "/market/stream?streams=!markPrice@arr@1s/!miniTicker@arr"
LONGEST_FRAME = 16 * 1024 * 1024  # a frame is 140 KB today
HANDSHAKE_S = 10.0
GOODBYE_S = 0.5  # a stalled peer never answers our close


class Ending(NamedTuple):
    """Why a connection ended; ``why`` is a short word for the metric, ``detail`` the line for the log."""

    why: str
    detail: str


class Watch:
    """What the reader of one connection tells its keeper."""

    def __init__(self) -> None:
        self.proved = asyncio.Event()  # a mark frame came
        self.shutdown = asyncio.Event()  # the exchange announced the end of this connection


Handle = Callable[[bytes], Merged]


async def follow(origin: str, handle: Handle, coverage: Coverage, watch: Watch, idle_s: float) -> Ending:
    """Follow one connection until it ends, for whatever reason, and say why. Only cancellation passes through."""
    try:
        # No pings of our own: a client that waited for their pongs was cut off every minute. It answers the server's.
        async with connect(
            origin + STREAMS,
            ping_interval=None,
            open_timeout=HANDSHAKE_S,
            close_timeout=GOODBYE_S,
            max_size=LONGEST_FRAME,
            compression=None,
            proxy=None,
        ) as ws:
            return await _read(ws, handle, coverage, watch, idle_s)
    except ConnectionClosed as e:
        said = f"{e.rcvd.code} {e.rcvd.reason}".strip() if e.rcvd else "no close frame"
        return Ending("closed", f"closed by the exchange: {said}")
    except InvalidStatus as e:
        return Ending("refused", f"handshake refused with HTTP {e.response.status_code}")
    except TimeoutError:
        return Ending("unreachable", f"no handshake within {HANDSHAKE_S:g} s")
    except (OSError, WebSocketException) as e:
        return Ending("unreachable", f"{type(e).__name__}: {e}")


async def _read(ws: ClientConnection, handle: Handle, coverage: Coverage, watch: Watch, idle_s: float) -> Ending:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + idle_s
    window_s: float | None = None
    seen: set[str] = set()
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                blob = await ws.recv(decode=False)
        except TimeoutError:
            return _silent(watch, idle_s)
        merged = handle(blob)
        if merged.shutdown:
            watch.shutdown.set()
        if not merged.marks:
            continue
        watch.proved.set()
        now_s = loop.time()
        deadline_s = now_s + idle_s
        seen |= merged.marks
        if window_s is None:
            window_s = now_s + idle_s
        elif now_s >= window_s:
            short = coverage.judge(seen)
            if short is not None:
                return Ending("coverage", f"{short} within {idle_s:g} s")
            window_s, seen = now_s + idle_s, set()


def _silent(watch: Watch, idle_s: float) -> Ending:
    if watch.proved.is_set():
        return Ending("idle", f"no mark frame for {idle_s:.1f} s")
    return Ending(
        "mute", f"connected and acknowledged, but no mark frame for {idle_s:.1f} s (a retired address does this)"
    )
