"""One HTTP exchange with another host: bounded in time and size, every fault of the way there one `Transient`.

There are no retries here; the caller's loop is the one layer that retries.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from shared.errors import Transient, WireError
from shared.numbers import whole
from shared.proxy import Proxy, connect_failed
from shared.reply import Get, Reply


class Client(httpx.AsyncClient):
    """Follows no redirect (a key must not travel) and reads no proxy from the environment; knows its own."""

    def __init__(self, transport: httpx.AsyncHTTPTransport, proxy: Proxy | None) -> None:
        super().__init__(transport=transport, timeout=None, follow_redirects=False)  # send() has the deadline
        self.proxy = proxy


def client(connections: int, keepalive_s: float = 30.0, proxy: Proxy | None = None) -> Client:
    """It trusts whom the machine trusts, as stream and Redis do: an authority that was added there counts for all."""
    limits = httpx.Limits(max_connections=connections, keepalive_expiry=keepalive_s)
    trusted = ssl.create_default_context()
    return Client(httpx.AsyncHTTPTransport(trusted, limits=limits, proxy=proxy.url if proxy else None), proxy)


def getting(http: httpx.AsyncClient) -> Get:
    async def get(url: str, params: Mapping[str, str] | None, *, timeout_s: float, max_bytes: int) -> Reply:
        return await send(http, http.build_request("GET", url, params=params), timeout_s=timeout_s, max_bytes=max_bytes)

    return get


async def send(http: httpx.AsyncClient, request: httpx.Request, *, timeout_s: float, max_bytes: int) -> Reply:
    """Send and read to the end. A connection that does not come about ends it a little sooner: then nothing was sent.

    Raises `Transient` for a fault of the way, `Refused` for a proxy that wants another login, `WireError` for a body
    too long.
    """
    proxy = http.proxy if isinstance(http, Client) else None
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    where = f"{request.url.host}:{port}{f' through {proxy.where}' if proxy else ''}"
    connect_s = timeout_s * 0.9
    request.extensions["timeout"] = {"connect": connect_s}
    try:
        async with asyncio.timeout(timeout_s):
            response = await http.send(request, stream=True)
            try:
                return Reply(response.status_code, response.headers, await _read(response, max_bytes))
            finally:
                await response.aclose()
    except TimeoutError as e:
        raise Transient(f"no complete answer within {timeout_s:g} s") from e
    except httpx.ConnectTimeout as e:
        raise Transient(f"no connection to {where} within {connect_s:.3g} s") from e
    except httpx.ProxyError as e:
        raise connect_failed(proxy, whole(str(e)[:3]) or 0, str(e)) from e
    except (httpx.HTTPError, OSError, UnicodeError) as e:  # UnicodeError: the resolver's, of a name that cannot be one
        cause = _root(e)
        raise Transient(f"{type(cause).__name__}: {cause} ({where})") from e


def _root(error: BaseException) -> BaseException:
    """What really happened, in the words of who saw it: above it they are "All connection attempts failed"."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > max_bytes:
            raise WireError("body_too_long", f"more than {max_bytes} bytes from {response.request.url.path}")
        chunks.append(chunk)
    return b"".join(chunks)
