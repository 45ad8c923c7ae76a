"""A loopback exchange with two routes, steered by the test: what it answers, how long it takes, what it counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

from aiohttp import web

from shared.clock import Clock, SystemClock
from tests.served import served

Answer = tuple[int, str, dict[str, str]]
INVALID = (400, '{"code":-1121,"msg":"Invalid symbol."}', {})
DELISTED = (
    400,
    '{"code":-4108,"msg":"Symbol is on delivering or delivered or settling or closed or pre-trading."}',
    {},
)
TOO_MANY = '{"code":-1003,"msg":"Too many requests; current limit of IP(10.0.0.1) is 2400 requests per minute."}'
HTML = "<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR</TITLE></HEAD><BODY>Request blocked.</BODY></HTML>"


def row(symbol: str, **changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "quoteAsset": "USDT",
        "status": "TRADING",
        "onboardDate": 1_600_000_000_000,
        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}],
    }
    return fields | changes


class Venue:
    """``answers`` holds what one symbol is answered instead, ``always`` what every request is; None: the truth."""

    def __init__(self, symbols: list[str], clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.rows = [row(symbol) for symbol in symbols]
        self.values = dict.fromkeys(symbols, "82345.123")
        self.answers: dict[str, Answer] = {}
        self.always: Answer | None = None
        self.info_answer: Answer | None = None
        self.delay_s: dict[str, float] = {}
        self.limit = 2400
        self.used: Counter[int] = Counter()  # by minute, of this venue's clock
        self.other_used: Counter[int] = Counter()  # by minute: what other scripts send
        self.asked: list[str] = []
        self.info_asked_ms: list[int] = []
        self.time_asked_ms: list[int] = []
        self.raw_queries: list[str] = []
        self.under_way = 0
        self.origin = ""

    @property
    def requests(self) -> int:
        return len(self.asked) + self.info_asked

    @property
    def info_asked(self) -> int:
        return len(self.info_asked_ms)

    def _answer(self, answer: Answer) -> web.Response:
        status, body, headers = answer
        now_ms = self.clock.now_ms()
        minute = now_ms // 60_000
        self.used[minute] += 1
        used = self.used[minute] + self.other_used[minute]
        if used > self.limit:
            status, body, headers = 429, TOO_MANY, {"Retry-After": "30"}
        told = {"X-MBX-USED-WEIGHT-1M": str(used), "Date": formatdate(now_ms // 1000, usegmt=True)}
        kind = "application/json" if body[:1] in "{[" else "text/html"
        return web.Response(status=status, text=body, headers=told | headers, content_type=kind)

    async def _info(self, _: web.Request) -> web.Response:
        self.info_asked_ms.append(self.clock.now_ms())
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.limit}]
        body = json.dumps({"timezone": "UTC", "rateLimits": limits, "symbols": self.rows})
        return self._answer(self.info_answer or self.always or (200, body, {}))

    async def _time(self, _: web.Request) -> web.Response:
        self.time_asked_ms.append(self.clock.now_ms())
        return self._answer(self.always or (200, json.dumps({"serverTime": self.clock.now_ms()}), {}))

    async def _open_interest(self, request: web.Request) -> web.Response:
        symbol = request.query["symbol"]
        self.asked.append(symbol)
        self.raw_queries.append(request.rel_url.raw_query_string)
        self.under_way += 1
        try:
            answer = self._answer(self.answers.get(symbol) or self.always or self._true(symbol))
            await asyncio.sleep(self.delay_s.get(symbol, 0.0))
            return answer
        finally:
            self.under_way -= 1

    def _true(self, symbol: str) -> Answer:
        if symbol not in self.values:
            return INVALID
        body = {"symbol": symbol, "openInterest": self.values[symbol], "time": self.clock.now_ms() - 500}
        return 200, json.dumps(body), {}


@asynccontextmanager
async def serving(venue: Venue) -> AsyncIterator[Venue]:
    routes = {"exchangeInfo": venue._info, "openInterest": venue._open_interest, "time": venue._time}
    async with served(*(web.get(f"/fapi/v1/{name}", answer) for name, answer in routes.items())) as venue.origin:
        yield venue
