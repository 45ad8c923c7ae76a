"""REST: routes, weights, faults, headers. Bodies come from `venue`."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

from dev.exchange import answers, bodies
from dev.exchange.answers import ANSWERS, Answer
from dev.exchange.faults import Fault
from dev.exchange.market import Book
from dev.exchange.venue import Venue
from dev.exchange.weights import Verdict

SYMBOL = re.compile(r"[\w.-]{1,40}")
HISTORY_LIMIT, HISTORY_MS = 1000, 300_000


class BadRequestError(Exception):
    """A refusal with the venue's body."""

    def __init__(self, body: bytes, status: int = 400) -> None:
        super().__init__(body)
        self.body, self.status = body, status


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: its short name, its weight alone and for all symbols, and what makes its body."""

    name: str
    path: str
    weight: int
    body: Callable[[Rest, str | None, web.Request], bytes]
    weight_all: int = 0  # without a symbol; 0: the same


class Rest:
    """The handlers of one venue."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._history: list[int] = []

    def add_to(self, app: web.Application) -> None:
        for route in ROUTES:
            app.router.add_get(route.path, self._handler(route))
        app.router.add_route("*", "/{path:.*}", self._unknown)

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(route, request)

        return handle

    async def _serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        venue = self.venue
        venue.requests[route.name] += 1
        symbol = request.query.get("symbol")
        weight = route.weight_all if route.weight_all and symbol is None else route.weight
        now_ms = venue.now_ms()
        verdict = venue.limiter.charge(weight, now_ms) if weight or venue.limiter.banned(now_ms) else None
        headers = {} if verdict is None else {"X-MBX-USED-WEIGHT-1M": str(verdict.used)}
        if verdict is not None and verdict.status != 200:
            return self._refusal(verdict, headers)
        named = symbol.upper() if symbol else symbol
        if venue.faults:
            await self._wait(route, named)
            if (fault := self._fault(route, named)) is not None:
                return await self._wrong(fault, route, request, headers)
        try:
            body = route.body(self, symbol, request)
        except BadRequestError as e:
            return self._reply(e.status, e.body, headers)
        return self._reply(200, body, headers, request)

    def _refusal(self, verdict: Verdict, headers: dict[str, str]) -> web.Response:
        """429 or 418, with as much of its end as the limiter tells."""
        if verdict.retry_after_s is not None:
            headers["Retry-After"] = str(verdict.retry_after_s)
        body = answers.error(-1003, "Way too many requests.")
        if verdict.status == 429:
            body = answers.too_many(self.venue.limiter.rules.limit)
        elif verdict.banned_until_ms:
            body = answers.banned(verdict.banned_until_ms)
        return self._reply(verdict.status, body, headers)

    def _reply(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        request: web.Request | None = None,
        kind: str = answers.JSON,
    ) -> web.Response:
        self.venue.statuses[status] += 1
        headers["Content-Type"] = kind
        if request is not None and len(body) > 4096 and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        if self.venue.clock_skew_ms:
            headers["Date"] = format_datetime(datetime.fromtimestamp(self.venue.now_ms() / 1000, UTC), usegmt=True)
        return web.Response(status=status, body=body, headers=headers)

    async def _wait(self, route: Route, symbol: str | None) -> None:
        for fault in list(self.venue.faults.of("rest_latency")):
            if fault.params["route"] in ("all", route.name) and fault.wants(symbol):
                await asyncio.sleep((fault.params["ms"] + fault.params["jitter_ms"] * random.random()) / 1000)

    def _fault(self, route: Route, symbol: str | None) -> Fault | None:
        for fault in self.venue.faults.of("rest_answer"):
            if fault.params["route"] not in ("all", route.name) or not fault.wants(symbol):
                continue
            if fault.params["share"] >= 1 or random.random() < fault.params["share"]:
                self.venue.faults.use(fault)
                return fault
        return None

    async def _wrong(
        self, fault: Fault, route: Route, request: web.Request, headers: dict[str, str]
    ) -> web.StreamResponse:
        name = fault.params["answer"]
        self.venue.requests[f"{route.name} answered {name}"] += 1
        if name == answers.RESET:
            reset(request.transport)
            raise web.HTTPServiceUnavailable
        if name == answers.HANG:
            await fault.over.wait()
            reset(request.transport)
            raise web.HTTPServiceUnavailable
        if name == answers.TRUNCATED:
            body = route.body(self, request.query.get("symbol"), request)
            return self._reply(200, body[: len(body) * 2 // 3], headers)
        if name == answers.EMPTY_SYMBOLS:
            before, after = bodies.exchange_info((), self.venue.limiter.rules.limit)
            return self._reply(200, before + str(self.venue.now_ms()).encode() + after, headers)
        return self._canned(ANSWERS[name], fault, headers)

    def _canned(self, answer: Answer, fault: Fault, headers: dict[str, str]) -> web.Response:
        wait_s = fault.params["retry_after"]
        if answer.content_type == answers.HTML:  # of the content network, before the exchange counts
            headers.clear()
        if answer.retry_after and wait_s:
            headers["Retry-After"] = str(wait_s)
        body = answer.body.replace(b"{until}", str(self.venue.now_ms() + wait_s * 1000).encode())
        return self._reply(fault.params["status"] or answer.status, body, headers, kind=answer.content_type)

    async def _unknown(self, request: web.Request) -> web.Response:
        self.venue.requests["unknown path"] += 1
        return self._reply(404, bodies.error(-5000, f"Path {request.path}, Method {request.method} is invalid"), {})

    def book(self, symbol: str | None) -> Book:
        """The contract asked for, or the venue's 400."""
        if not symbol:
            raise BadRequestError(answers.MISSING_SYMBOL)
        if not SYMBOL.fullmatch(symbol):
            raise BadRequestError(answers.BAD_CHARACTERS)
        book = self.venue.find(symbol)
        if book is None:
            raise BadRequestError(answers.INVALID_SYMBOL)
        return book

    def open_interest(self, symbol: str | None, _: web.Request) -> bytes:
        book = self.book(symbol)
        if not book.contract.trading:
            raise BadRequestError(answers.NOT_TRADING)
        return self.venue.open_interest(book)

    def exchange_info(self, _symbol: str | None, _: web.Request) -> bytes:
        before, after = self.venue.info
        return before + str(self.venue.now_ms()).encode() + after

    def premium_index(self, symbol: str | None, _: web.Request) -> bytes:
        return self.venue.premium_index() if symbol is None else self.venue.premium_index_of(self.book(symbol))

    def ticker_24h(self, symbol: str | None, _: web.Request) -> bytes:
        if symbol is None:
            return self.venue.tickers()
        book = self.book(symbol)
        return bodies.ticker_24h(book.contract.symbol, self.venue.day(book, self.venue.now_ms())).encode()

    def history(self, symbol: str | None, request: web.Request) -> bytes:
        """openInterestHist, with its own limit of requests in five minutes and its own 30 days."""
        book, now_ms, query = self.book(symbol), self.venue.now_ms(), request.query
        self._history = [at_ms for at_ms in self._history if now_ms - at_ms < HISTORY_MS] + [now_ms]
        if len(self._history) > HISTORY_LIMIT:
            raise BadRequestError(answers.too_many(HISTORY_LIMIT), 429)
        period = query.get("period", "")
        if period not in bodies.PERIODS_MS:
            raise BadRequestError(bodies.error(-1130, "Data sent for parameter 'period' is not valid."))
        try:
            limit = min(500, max(1, int(query.get("limit", 30))))
            start = int(query["startTime"]) if "startTime" in query else None
            end = min(now_ms, int(query.get("endTime", now_ms)))
        except ValueError as e:
            raise BadRequestError(answers.BAD_CHARACTERS) from e
        if start is not None and "endTime" not in query:
            end = min(end, start + (limit - 1) * bodies.PERIODS_MS[period])
        return bodies.open_interest_history(book, period, limit, start, end, now_ms)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection with RST."""
    if isinstance(transport, asyncio.Transport):
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


ROUTES = (
    Route("ping", "/fapi/v1/ping", 1, lambda *_: b"{}"),
    Route("time", "/fapi/v1/time", 1, lambda rest, *_: f'{{"serverTime":{rest.venue.now_ms()}}}'.encode()),
    Route("exchangeInfo", "/fapi/v1/exchangeInfo", 1, Rest.exchange_info),
    Route("openInterest", "/fapi/v1/openInterest", 1, Rest.open_interest),
    Route("premiumIndex", "/fapi/v1/premiumIndex", 1, Rest.premium_index, weight_all=10),
    Route("ticker/24hr", "/fapi/v1/ticker/24hr", 1, Rest.ticker_24h, weight_all=40),
    Route("openInterestHist", "/futures/data/openInterestHist", 0, Rest.history),
)
