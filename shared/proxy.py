"""The proxy that stands between this host and the exchange, where there is one: the setting ``BINANCE_PROXY``.

Only what goes to the exchange passes through it, and its ban is the proxy's own: the exchange sees that address.
"""

from __future__ import annotations

import asyncio
import re
import socket
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from shared.dial import dial
from shared.errors import Refused, Transient
from shared.settings import parse_url

LONGEST_ANSWER = 16 * 1024  # to CONNECT


@dataclass(frozen=True)
class Proxy:
    """``where`` is what may be shown; the login and the URL that carries it are shown nowhere."""

    where: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        login = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"
        return f"http://{login}{self.where}"

    async def dial(self, host: str, port: int) -> socket.socket:
        """A socket that the proxy connected to ``host:port``. Raises `OSError`; the caller sets the deadline.

        The way of websockets' own leaks sockets when it is cancelled.
        """
        at = urlsplit(f"//{self.where}")
        sock = await dial(at.hostname or "", at.port or 0)
        try:
            await self._connect(sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except BaseException:
            sock.close()
            raise
        return sock

    async def _connect(self, sock: socket.socket, target: str) -> None:
        loop = asyncio.get_running_loop()
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self.user is not None:
            lines.append(f"Proxy-Authorization: Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}")
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
        said = b""
        while b"\r\n\r\n" not in said and len(said) < LONGEST_ANSWER:
            blob = await loop.sock_recv(sock, LONGEST_ANSWER)
            if not blob:
                break
            said += blob
        status = re.match(rb"HTTP/1\.\d (\d{3})\b.*\r\n\r\n", said, re.DOTALL)
        if status is None:
            raise ConnectionError(f"no answer to CONNECT: {said!r:.100}")
        if not status[1].startswith(b"2"):
            raise ConnectionError(f"HTTP {status[1].decode()} to CONNECT")


def proxy(value: str) -> Proxy | None:
    """``http://[user:password@]host:port``; empty: none. ValueError for anything else."""
    if not value:
        return None
    url = parse_url(value, ("http",))
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("must be http://user:password@host:port, without a path; a # or / in the password is %23, %2F")
    if not url.port:
        raise ValueError("names no port")
    where = f"[{url.hostname}]:{url.port}" if ":" in url.hostname else f"{url.hostname}:{url.port}"
    if url.username is None:
        return Proxy(where)
    return Proxy(where, unquote(url.username), unquote(url.password or ""))


def connect_failed(proxy: Proxy | None, status: int, said: str) -> Exception:
    """What it means that the proxy would not connect: `Refused` where it wants another login or forbids the target."""
    where = proxy.where if proxy else "?"
    if status in {401, 403, 407}:  # tinyproxy says 401 to a wrong password, 407 to none
        return Refused(f"BINANCE_PROXY at {where} refuses this user and password, or the exchange's address: {said}")
    return Transient(f"BINANCE_PROXY at {where}: {said}")
