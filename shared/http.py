"""One HTTP exchange with another host: bounded in time and size, every fault of the way there one `Transient`.

There are no retries here; the caller's loop is the one layer that retries.
"""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx

from shared.errors import Transient, WireError


class Reply(NamedTuple):
    status: int
    headers: httpx.Headers
    body: bytes


def client(
    connections: int,
    keepalive_s: float = 30.0,
    transport: type[httpx.AsyncBaseTransport] = httpx.AsyncHTTPTransport,
) -> httpx.AsyncClient:
    """An HTTP client that follows no redirect (a key must not travel) and reads no proxy from the environment."""
    limits = httpx.Limits(max_connections=connections, keepalive_expiry=keepalive_s)
    chosen = transport(limits=limits)  # type: ignore[call-arg]  # every transport has its own arguments; both take these
    return httpx.AsyncClient(transport=chosen, timeout=None, follow_redirects=False)  # noqa: S113 - send() has the deadline


async def send(http: httpx.AsyncClient, request: httpx.Request, *, timeout_s: float, max_bytes: int) -> Reply:
    """Send and read to the end. Raises `Transient` for a fault of the way, `WireError` for a body too long."""
    try:
        async with asyncio.timeout(timeout_s):
            response = await http.send(request, stream=True)
            try:
                return Reply(response.status_code, response.headers, await _read(response, max_bytes))
            finally:
                await response.aclose()
    except TimeoutError as e:
        raise Transient(f"no complete answer within {timeout_s:g} s") from e
    except (httpx.HTTPError, OSError) as e:
        cause = _root(e)
        raise Transient(f"{type(cause).__name__}: {cause} ({request.url.host}:{request.url.port or 443})") from e


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


def retry_after_s(headers: httpx.Headers, now_ms: int) -> float | None:
    """``Retry-After`` as seconds from now, either form of it; None when absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment.timestamp() - now_ms / 1000)


def excerpt(body: bytes, longest: int = 160) -> str:
    """The start of a body from outside, fit for one log line."""
    return " ".join(body[: 4 * longest].decode(errors="replace").split())[:longest]


def json_start(body: bytes) -> bool:
    """Whether it can be JSON at all; proxies answer HTML with any status."""
    return body.lstrip()[:1] in (b"{", b"[")
