"""One request to one of the venues -> status, headers, body: pure, given the time.

As strict as the venues: another method, parameter or body is refused in the venue's own words, and so is who asks more
often than it allows. None of them says with that for how long.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import NamedTuple

from dev.venues.faults import Faults
from dev.venues.market import Market
from dev.venues.shapes import SHAPES, rows

HTML = b"<!doctype html><html><title>Just a moment...</title><body>Checking your browser</body></html>"
PATHS = {
    "bybit": re.compile(r"/v5/market/tickers"),
    "okx": re.compile(r"/api/v5/public/open-interest"),
    "gate": re.compile(r"/api/v4/futures/(?P<settle>usdt|btc)/contracts"),
    "hyperliquid": re.compile(r"/info"),
    "bitget": re.compile(r"/api/v2/mix/market/tickers"),
}
PARAMS = {  # one of these values must be told
    "bybit": ("category", {"linear", "inverse"}),
    "okx": ("instType", {"SWAP"}),
    "bitget": ("productType", {"USDT-FUTURES"}),
}
BANNED_MS = 600_000  # by Bybit, whoever goes beyond its limit


class Limit(NamedTuple):
    """``most`` in ``per_s``, of which each request costs some."""

    most: int
    per_s: int
    cost: int = 1


LIMITS = {
    "bybit": Limit(600, 5),
    "okx": Limit(20, 2),
    "gate": Limit(200, 10),
    "hyperliquid": Limit(1200, 60, cost=20),
    "bitget": Limit(20, 1),
}


class Asked(NamedTuple):
    path: str
    params: dict[str, str] = {}  # noqa: RUF012 - never written to
    method: str = "GET"
    body: bytes = b""
    content_type: str = ""


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - never written to


TOO_MANY = {
    "bybit": Answer(
        200, b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{},"time":1764720000000}'
    ),
    "okx": Answer(429, b'{"msg":"Too Many Requests","code":"50011"}'),
    "gate": Answer(429, b'{"label":"TOO_MANY_REQUESTS","message":"Request Rate Limit Exceeded"}'),
    "hyperliquid": Answer(429, b"null"),
    "bitget": Answer(429, b'{"code":"429","msg":"Too Many Requests"}'),
}
WRONG = {
    "bybit": Answer(200, b'{"retCode":10001,"retMsg":"params error: Category is invalid","result":{},"retExtInfo":{}}'),
    "okx": Answer(400, b'{"msg":"Parameter instType error","code":"51000","data":[]}'),
    "hyperliquid": Answer(422, b"Failed to deserialize the JSON body into the target type"),
    "bitget": Answer(400, b'{"code":"400172","msg":"Parameter verification failed","data":null}'),
}
FORBIDDEN = Answer(403, HTML)


class Venues:
    """The five, as of an instant of the caller's clock."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.faults = Faults()
        self._calls: dict[str, deque[int]] = {venue: deque() for venue in PATHS}
        self._banned_until_ms = 0

    def answer(self, venue: str, asked: Asked, now_ms: int) -> Answer:
        refused = self._counted(venue, now_ms)
        if refused:
            return refused
        found = PATHS[venue].fullmatch(asked.path)
        if found is None or asked.method != ("POST" if venue == "hyperliquid" else "GET"):
            return Answer(404, b'{"error":"no such route"}')
        if not _understood(venue, asked):
            return WRONG[venue]
        faults = self.faults.of(venue, now_ms)
        refusals = {
            "forbidden": FORBIDDEN,
            "limited": Answer(429, b'{"msg":"Too Many Requests"}', {"Retry-After": "7"}),
            "too_many": TOO_MANY[venue],
            "error": Answer(500, b'{"msg":"Internal Server Error"}'),
            "html": Answer(200, HTML),
        }
        for name, refusal in refusals.items():
            if name in faults:
                return refusal
        at_ms = now_ms - 60_000 * ("late" in faults) + 3_600_000 * ("ahead" in faults)
        told = [] if "empty" in faults else rows(self.market, venue, now_ms if "ahead" in faults else at_ms, faults)
        body = json.dumps(SHAPES[venue](told, at_ms, faults, {**asked.params, **found.groupdict()}))
        return Answer(200, body[: len(body) // 2].encode() if "cut" in faults else body.encode())

    def _counted(self, venue: str, now_ms: int) -> Answer | None:
        """What who asks too often is told, if this was once too often."""
        limit, calls = LIMITS[venue], self._calls[venue]
        while calls and calls[0] <= now_ms - limit.per_s * 1000:
            calls.popleft()
        calls.append(now_ms)
        beyond = len(calls) * limit.cost > limit.most
        if venue == "bybit":
            if beyond:
                self._banned_until_ms = now_ms + BANNED_MS
            return FORBIDDEN if now_ms < self._banned_until_ms else None
        return TOO_MANY[venue] if beyond else None


def _understood(venue: str, asked: Asked) -> bool:
    if venue == "hyperliquid":
        try:
            wanted = json.loads(asked.body)
        except ValueError:
            return False
        return wanted == {"type": "metaAndAssetCtxs"} and asked.content_type == "application/json"
    if venue in PARAMS:
        name, values = PARAMS[venue]
        return asked.params.get(name) in values
    return True
