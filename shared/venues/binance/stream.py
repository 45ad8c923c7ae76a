"""The mark-price stream: its address, and how a connection to it is opened.

The routed address is the only one that delivers: since 2026-04-23 the old one connects, acknowledges, answers pings,
and stays silent. The streams stand in the address, so there is no SUBSCRIBE whose acknowledgement could mislead.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.dial import dial
from shared.proxy import Proxy

STREAMS = "/market/stream?streams=!markPrice@arr@1s/!miniTicker@arr"
HANDSHAKE_S = 10.0
GOODBYE_S = 0.5  # a stalled peer never answers our close
LONGEST_FRAME = 16 * 1024 * 1024  # a frame is 140 KB today
CANNOT_OPEN = (OSError, ValueError, EOFError, WebSocketException)


class _Connect(connect):
    """Follows no redirect: the exchange sends none, and a broken Location would raise whatever urllib likes."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_stream(origin: str, streams: str = STREAMS, proxy: Proxy | None = None) -> ClientConnection:
    """Connect and shake hands. Raises one of `CANNOT_OPEN`, a `TimeoutError` after `HANDSHAKE_S`.

    No pings of our own: a client that waited for their pongs was cut off every minute. It answers the server's.
    """
    async with asyncio.timeout(HANDSHAKE_S):
        url = urlsplit(origin)
        target = url.hostname or "", url.port or (443 if url.scheme == "wss" else 80)
        return await _Connect(
            origin + streams,
            ping_interval=None,
            open_timeout=None,
            close_timeout=GOODBYE_S,
            max_size=LONGEST_FRAME,
            compression=None,
            sock=await (proxy.dial(*target) if proxy else dial(*target)),
        )
