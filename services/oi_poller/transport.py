"""How a sweep travels: httpx over aiohttp's transport.

Hundreds of requests at once cost a third of the CPU that httpx's own pool takes, and it collapses at 64 in flight.
Services that send one now and then do without it, and without its memory.
"""

from __future__ import annotations

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from shared import http

SPARE = 4  # connections for what is asked besides a sweep


def sweep_client(in_flight: int) -> httpx.AsyncClient:
    """A client with a connection for everybody: a request that waited for one would go out after a ban was told."""
    return http.client(in_flight + SPARE, transport=SweepTransport)


class SweepTransport(AiohttpTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except aiohttp.ClientError as e:  # an answer that is no HTTP: the transport lets that through
            raise httpx.RemoteProtocolError(str(e), request=request) from e
