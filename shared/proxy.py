"""The proxy that stands between this host and the exchange, where there is one: the setting ``BINANCE_PROXY``.

Only what goes to the exchange passes through it, and its ban is the proxy's own: the exchange sees that address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from shared.errors import Refused, Transient
from shared.settings import parse_url


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
