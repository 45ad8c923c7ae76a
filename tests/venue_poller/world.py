"""The venues' loops on the stand-in of the five, with a clock to steer and a real Redis; and the truth beside them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import httpx
import pytest
from redis.asyncio import Redis

from dev.venues.answers import Asked, Venues
from dev.venues.faults import Fault
from dev.venues.market import Market
from services.venue_poller.guest import Guest
from services.venue_poller.lines import Lines
from services.venue_poller.metrics import Metrics
from services.venue_poller.own import OwnRows, binance_in
from services.venue_poller.poller import VenuePoller
from services.venue_poller.standing import Standing
from services.venue_poller.venues import VENUES
from shared.aggregate import Aggregate
from shared.ban import Ban
from shared.model import MarkPrice, OpenInterest, Reading
from shared.store import CONTRACTS, MARKS, round_trip
from shared.venuelines import AllVenues, read_venues
from tests.fakes import FakeClock, service

ROUND_S = 5.0


class World:
    def __init__(
        self, redis: Redis, clock: FakeClock, *, coins: int = 14, venues: Iterable[str] = tuple(VENUES)
    ) -> None:
        self.redis = redis
        self.clock = clock
        self.market = Market(7, clock.now_ms(), coins)
        self.venues = Venues(self.market)
        self.asked: list[str] = []
        self.trouble: dict[str, str] = {}
        self.service = service(clock, redis, "venue_poller")
        self.metrics = Metrics(self.service.registry)
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.binance_reads = True
        self.frozen: dict[str, float] = {}  # base -> the open interest that Binance tells whatever happens
        self._names = list(venues)
        self.restart()

    def restart(self) -> None:
        """New loops: what they know stands in Redis."""
        self.binance = binance_in(self.redis, self.metrics, self.clock)
        self.standing = Standing(self.service, self._names)
        self.lines = {name: Lines(self.redis, name) for name in self._names}
        self.own = OwnRows(self.binance, self.lines, self.service, self.metrics)
        self.pollers = {name: self._poller(name) for name in self._names}

    def fault(self, venue: str, name: str, seconds: float = 1e9, symbol: str = "") -> None:
        now_ms = self.clock.now_ms()
        self.venues.faults.add(venue, Fault(name, symbol, now_ms + seconds * 1000, now_ms))

    async def round(self, *names: str) -> AllVenues:
        """One round of each venue, or of those named; then what stands in Redis."""
        if self.binance_reads:
            await self._binance()
        self.clock.advance(ROUND_S)
        for name in names or self._names:
            self.trouble[name] = await self.pollers[name].round()
        await self.own.turn()
        return await read_venues(self.redis, pytest.fail)

    def wrong(self, found: Aggregate) -> list[str]:
        """Members of a sum that are not what the venue really has; and a sum that is not that of its members."""
        odd = []
        for row in found.members:
            if row.venue == "binance":
                continue
            contract = self.market.find(row.venue, row.symbol)
            true = self.market.coins(contract, row.received_ms)
            if contract.other or abs(float(row.base) / true - 1) > 0.01:
                odd.append(f"{row.venue} {row.symbol}: {row.base:f}, really {true:f}")
        if found.base != sum((row.base for row in found.members), Decimal(0)):
            odd.append(f"{found.coin}: the sum is not that of its members")
        return odd

    def _poller(self, name: str) -> VenuePoller:
        ban = Ban(self.redis, self.clock, venue=name)
        guest = Guest(VENUES[name], f"http://venues/{name}", self.http, ban, self.clock)
        return VenuePoller(guest, self.binance, self.lines[name], self.service, self.metrics, self.standing.told)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        _, venue, path = request.url.path.split("/", 2)
        self.asked.append(venue)
        kind = request.headers.get("Content-Type", "")
        asked = Asked(f"/{path}", dict(request.url.params), request.method, request.content, kind)
        told = self.venues.answer(venue, asked, self.clock.now_ms())
        return httpx.Response(told.status, content=told.body, headers=told.headers)

    async def _binance(self) -> None:
        """What ws_daemon and oi_poller would have put there a moment ago."""
        now_ms = self.clock.now_ms() + round(ROUND_S * 1000)
        marks, contracts = {}, {}
        for base in self.market.books:
            price, oi = self.market.binance(base, now_ms)
            oi = self.frozen.get(base, oi)
            symbol, mark = f"{base}USDT", Decimal(f"{price:.10f}")
            marks[symbol] = MarkPrice(symbol, mark, None, Decimal("0.0001"), now_ms + 1, now_ms, now_ms)
            contracts[symbol] = Reading(OpenInterest(symbol, Decimal(f"{oi:.3f}"), now_ms, now_ms), mark)
        async with round_trip(self.redis) as pipe:
            MARKS.put(pipe, marks)
            CONTRACTS.put(pipe, contracts)
