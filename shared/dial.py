"""A TCP connection to whichever address of a name answers first.

By itself asyncio tries one address after the other, and its own `happy_eyeballs_delay` leaks sockets when cancelled.
"""

from __future__ import annotations

import asyncio
import socket

from aiohappyeyeballs import start_connection

NEXT_ADDRESS_S = 0.25  # without an answer, then the next address is tried beside it; RFC 8305


async def dial(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises `OSError`; the caller sets the deadline."""
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S)
