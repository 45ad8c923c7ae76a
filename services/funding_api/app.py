"""The routes: what a request asks for -> one of the `Answers`, as JSON.

aiohttp.web, because the project carries aiohttp anyway (sweeps travel by it): another framework and its server
would cost packages, memory and start-up time, and give these fourteen routes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from services.funding_api import openapi, past
from services.funding_api.answers import Answer, Answers, parse_symbols, redis_away, refuse_batch, unhealthy
from services.funding_api.bodies import Problem, Refusal
from services.funding_api.metrics import Metrics
from services.funding_api.settings import Settings
from services.funding_api.snapshot import Reader
from services.funding_api.venues import Venues
from shared.clock import Clock
from shared.errors import Refused, Transient

BACKLOG = 1024  # connections that may wait while the loop is busy; hundreds come at once
LONGEST_LINE = 131_072  # a batch of 2000 symbols is one line, in Chinese too; what is longer gets 400
KEEPALIVE_S = 60.0
# What a client sends that is no HTTP is answered with 400; a traceback in the log is for a bug of ours.
bugs = logging.getLogger("funding_api.http")
bugs.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Look = Callable[[Answers, web.Request], Answer]


class Api:
    def __init__(self, settings: Settings, reader: Reader, venues: Venues, metrics: Metrics, clock: Clock) -> None:
        self._max_age_s = settings.max_age_s
        self._venues = venues
        self._history_path = settings.history_path
        self._reader = reader
        self._metrics = metrics
        self._clock = clock

    def app(self) -> web.Application:
        # As the old API did: /funding/BTCUSDT/ leads to /funding/BTCUSDT.
        slashes = web.normalize_path_middleware(
            append_slash=False, remove_slash=True, redirect_class=web.HTTPTemporaryRedirect
        )
        app = web.Application(middlewares=[self._count, slashes])
        # The fixed names stand before {symbol}: none of them may ever be taken for a symbol.
        app.add_routes(
            [
                web.get("/", self._fixed(openapi.index())),
                web.get("/openapi.json", self._fixed(openapi.document())),
                web.get("/docs", self._page),
                web.get("/funding/health", self._health),
                web.get("/funding/batch", self._batch),
                web.get("/funding/all", self._from(lambda a, _: a.funding_all())),
                web.get("/funding/{symbol}", self._from(lambda a, r: a.funding(r.match_info["symbol"]))),
                web.get("/open-interest/all", self._from(lambda a, _: a.open_interest_all())),
                web.get("/open-interest/aggregate", self._aggregate),
                web.get("/open-interest/venues/{base}", self._coin),
                web.get("/changes", self._changes),
                web.get("/history/{symbol}", self._history),
                web.get("/open-interest/{symbol}", self._from(lambda a, r: a.open_interest(r.match_info["symbol"]))),
            ]
        )
        return app

    async def answers(self) -> Answers:
        """Raises `Transient` while Redis is away."""
        return Answers(await self._reader.latest(), self._clock.now_ms(), self._max_age_s)

    def _from(self, look: Look) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            return _respond(look(await self.answers(), request))

        return handle

    async def _health(self, _: web.Request) -> web.Response:
        try:
            return _respond((await self.answers()).health())
        except Transient as e:
            return _respond(unhealthy(e))

    async def _batch(self, request: web.Request) -> web.Response:
        """What is wrong with the request itself is said without asking Redis."""
        symbols = parse_symbols(",".join(request.query.getall("symbols", [])))
        refusal = refuse_batch(symbols)
        return _respond(refusal or (await self.answers()).funding_batch(symbols))

    async def _aggregate(self, _: web.Request) -> web.Response:
        return _respond(await self._venues.aggregate())

    async def _coin(self, request: web.Request) -> web.Response:
        return _respond(await self._venues.coin(request.match_info["base"]))

    async def _changes(self, _: web.Request) -> web.Response:
        return _respond(Answer(200, past.changes_body(await self._reader.changes())))

    async def _history(self, request: web.Request) -> web.Response:
        try:
            wanted = past.span(request.query, self._clock.now_ms())
        except ValueError as e:
            return _respond(Answer(400, Refusal(Problem("Bad request", cause=str(e)))))
        path, symbol = past.place(self._history_path, request.match_info["symbol"])
        return _respond(await asyncio.to_thread(past.history, path, symbol, wanted))

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=openapi.page(), content_type="text/html")

    def _fixed(self, body: dict[str, Any]) -> Handler:
        encoded = msgspec.json.encode(body)

        async def handle(_: web.Request) -> web.Response:
            return web.Response(body=encoded, content_type="application/json")

        return handle

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count and time every answer; what aiohttp itself refuses is JSON as well, and so is that Redis is away."""
        begun_s = self._clock.monotonic_s()
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        status = 500
        try:
            response = await _answered(handler, request)
            status = response.status
            return response
        finally:
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.duration.labels(route).observe(self._clock.monotonic_s() - begun_s)


async def _answered(handler: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handler(request)
    except Transient as e:
        return _respond(redis_away(e))
    except web.HTTPException as e:
        headers = {name: e.headers[name] for name in ("Allow", "Location") if name in e.headers}
        return web.json_response({"detail": e.reason}, status=e.status, headers=headers)


def _respond(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=msgspec.json.encode(answer.body), content_type="application/json")


@asynccontextmanager
async def listen(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address. Raises `Refused` where nobody can listen."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=0.5,
        keepalive_timeout=KEEPALIVE_S,
        max_line_size=LONGEST_LINE,
        logger=bugs,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as e:
            said = f"FUNDING_API_HOST={host} FUNDING_API_PORT={port}: cannot listen there: {e.strerror or e}"
            raise Refused(said) from e
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
