"""A small backend on the loopback that answers what a test tells it, and keeps what came in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.served import served

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Loopback:
    """Answers by (method, path); what has no answer of its own is said to be well."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Loopback]:
        async with served(web.route("*", "/{path:.*}", self._answer)) as self.url:
            yield self

    def answer(self, method: str, path: str, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        """Answer this way until told otherwise."""

        async def fixed(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=body, headers=headers)

        self.answers[method, path] = fixed

    def posts(self, path: str = "/api/market/open-interest/ingest") -> list[Any]:
        return [body for request, body in zip(self.requests, self.bodies, strict=True) if request.path == path and body]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append(request)
        self.bodies.append(json.loads(raw) if raw else None)
        own = self.answers.get((request.method, request.path))
        return await own(request) if own else web.json_response({"success": True})


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits an hour")


async def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"success": tr')
    assert request.transport
    request.transport.abort()
    return response
