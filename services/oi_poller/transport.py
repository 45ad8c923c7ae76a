"""How a sweep travels: aiohttp itself, without httpx above it.

Hundreds of requests at once, the same over and over: httpx over aiohttp's transport costs three times the CPU of
aiohttp alone; httpx's own pool costs more, and collapses at 64 in flight. What asks now and then stays with httpx, in
`shared.http`. Where a connection kept alive proves dead, aiohttp sends a GET once more, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from shared.dial import NEXT_ADDRESS_S
from shared.errors import Transient, WireError
from shared.proxy import Proxy, connect_failed
from shared.reply import Get, Reply

SPARE = 4  # connections for what is asked besides a sweep
KEEPALIVE_S = 30.0
CHUNK = 64 * 1024


@asynccontextmanager
async def sweep_client(in_flight: int, proxy: Proxy | None = None) -> AsyncIterator[Get]:
    """A way to GET with a connection for everybody: a request that waited for one would go out after a ban was told."""
    connector = aiohttp.TCPConnector(
        limit=in_flight + SPARE,
        keepalive_timeout=KEEPALIVE_S,
        resolver=aiohttp.ThreadedResolver(),  # the system's, as all the others; not c-ares where that is installed
        happy_eyeballs_delay=NEXT_ADDRESS_S,
    )
    through = f" (through {proxy.where})" if proxy else ""
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # each request has its deadline
        proxy=proxy.url if proxy else None,
        trust_env=False,  # a forgotten proxy of the environment would share its ban with us
    ) as session:

        async def get(url: str, params: Mapping[str, str] | None, *, timeout_s: float, max_bytes: int) -> Reply:
            try:
                async with (
                    asyncio.timeout(timeout_s),
                    session.get(url, params=params, allow_redirects=False) as response,
                ):
                    reply = Reply(response.status, response.headers, await _read(response, max_bytes))
            except aiohttp.ClientHttpProxyError as e:
                raise connect_failed(proxy, e.status, f"{e.status} {e.message}") from None  # it shows the password
            except TimeoutError as e:
                raise Transient(f"no complete answer within {timeout_s:g} s") from e
            except (aiohttp.ClientError, OSError, UnicodeError) as e:
                raise Transient(f"{type(e).__name__}: {e}{through}") from e
            return reply

        yield get


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise WireError("body_too_long", f"more than {max_bytes} bytes from {response.url.path}")
        chunks.append(chunk)
    return b"".join(chunks)
