"""One connection, from handshake to its end. It proves itself by mark frames, by nothing else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.ws_daemon.coverage import Coverage
from services.ws_daemon.latest import Merged
from shared.proxy import Proxy
from shared.venues.binance.stream import CANNOT_OPEN, HANDSHAKE_S, open_stream


class Ending(NamedTuple):
    """Why a connection ended; ``why`` is a short word for the metric, ``detail`` the line for the log."""

    why: str
    detail: str


class Watch:
    """What the reader of one connection tells its keeper; the keeper says how long it may be without volumes."""

    connection: asyncio.Task[Ending]

    def __init__(self, volumes_within_s: float = math.inf) -> None:
        self.volumes_within_s = volumes_within_s
        self.proved = asyncio.Event()  # a mark frame came
        self.outlived = asyncio.Event()  # to be replaced while it serves on, for the reason in ``why``
        self.why = ""
        self._volumes_s: float | None = None  # when some came, by the loop's clock

    def heard(self, merged: Merged, now_s: float) -> None:
        if merged.shutdown:
            self._replace("the exchange announced its end")
        if merged.volumes or self._volumes_s is None:
            self._volumes_s = now_s
        elif now_s - self._volumes_s > self.volumes_within_s:
            self._volumes_s = now_s
            self._replace(f"no volumes for {self.volumes_within_s:g} s, though it serves")

    def _replace(self, why: str) -> None:
        self.why = why
        self.outlived.set()


Handle = Callable[[bytes], Merged]


async def follow(
    origin: str, handle: Handle, coverage: Coverage, watch: Watch, idle_s: float, proxy: Proxy | None = None
) -> Ending:
    """Follow one connection until it ends, for whatever reason, and say why. Only cancellation passes through."""
    through = f" (through {proxy.where})" if proxy else ""
    try:
        ws = await open_stream(origin, proxy=proxy)
    except InvalidStatus as e:
        where = e.response.headers.get("Location", "")
        sent = f" (redirected to {where!r:.100}, which is not followed)" if where else ""
        return Ending("refused", f"handshake refused with HTTP {e.response.status_code}{sent}")
    except TimeoutError:
        return Ending("unreachable", f"no handshake within {HANDSHAKE_S:g} s{through}")
    except CANNOT_OPEN as e:
        return Ending("unreachable", f"{type(e).__name__}: {e}"[:300] + through)
    try:
        async with ws:
            return await _read(ws, handle, coverage, watch, idle_s)
    except ConnectionClosed as e:
        said = f"{e.rcvd.code} {e.rcvd.reason}".strip() if e.rcvd else "no close frame"
        return Ending("closed", f"closed by the exchange: {said}")


async def _read(ws: ClientConnection, handle: Handle, coverage: Coverage, watch: Watch, idle_s: float) -> Ending:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + idle_s
    window_s: float | None = None
    seen: set[str] = set()
    refused, why = 0, ""
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                blob = await ws.recv(decode=False)
        except TimeoutError:
            return _silent(watch, idle_s, refused, why)
        merged = handle(blob)
        watch.heard(merged, loop.time())
        if not merged.marks:
            if merged.refused:
                refused, why = refused + merged.refused, merged.why
            continue
        refused = 0
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


def _silent(watch: Watch, idle_s: float, refused: int, why: str) -> Ending:
    if refused:
        return Ending("refused_rows", f"not one mark of {refused} rows could be used for {idle_s:.1f} s: {why:.200}")
    if watch.proved.is_set():
        return Ending("idle", f"no mark frame for {idle_s:.1f} s")
    return Ending(
        "mute", f"connected and acknowledged, but no mark frame for {idle_s:.1f} s (a retired address does this)"
    )
