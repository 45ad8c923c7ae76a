"""One request to one of the venues -> status, headers, body: pure, given the time."""

from __future__ import annotations

import json
import re
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


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - never written to


class Venues:
    """The five, as of an instant of the caller's clock."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.faults = Faults()

    def answer(self, venue: str, path: str, params: dict[str, str], now_ms: int) -> Answer:
        found = PATHS[venue].fullmatch(path)
        if found is None:
            return Answer(404, b'{"error":"no such route"}')
        faults = self.faults.of(venue, now_ms)
        refusals = {
            "forbidden": Answer(403, HTML),
            "limited": Answer(429, b'{"msg":"Too Many Requests"}', {"Retry-After": "7"}),
            "error": Answer(500, b'{"msg":"Internal Server Error"}'),
            "html": Answer(200, HTML),
        }
        for name, refusal in refusals.items():
            if name in faults:
                return refusal
        at_ms = now_ms - 60_000 if "late" in faults else now_ms
        told = [] if "empty" in faults else rows(self.market, venue, at_ms, faults)
        if "empty" in faults and venue == "bybit":
            return Answer(200, b'{"retCode":0,"retMsg":"OK","result":{"list":[]}}')
        body = json.dumps(SHAPES[venue](told, at_ms, faults, {**params, **found.groupdict()}))
        return Answer(200, body[: len(body) // 2].encode() if "cut" in faults else body.encode())
