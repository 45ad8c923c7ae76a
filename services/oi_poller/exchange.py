"""The exchange's REST API as the poller needs it; methods are named after the endpoints, all of weight 1.

Each request is accounted for before it is sent, and its answer's count and clock go to the budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.clock import Clock, monotonic_ms
from shared.errors import WireError
from shared.model import OpenInterest
from shared.reply import Reply
from shared.venues.binance import bodies
from shared.venues.binance.answers import date_ms, used_weight
from shared.venues.binance.bodies import ExchangeInfo
from shared.venues.binance.rest import EXCHANGE_INFO, OPEN_INTEREST, TIME, Exchange


@dataclass
class Fapi:
    exchange: Exchange
    ban: Ban
    budget: WeightBudget
    clock: Clock

    async def open_interest(self, symbol: str) -> OpenInterest:
        body = await self._get(OPEN_INTEREST, {"symbol": symbol})
        return bodies.open_interest(body, symbol, self.clock.now_ms())

    async def exchange_info(self, on_bad: Callable[[WireError], None]) -> ExchangeInfo:
        info = bodies.exchange_info(await self._get(EXCHANGE_INFO), on_bad)
        if info.weight_limit is not None:
            self.budget.limit = info.weight_limit
        return info

    async def server_time(self) -> None:
        """The smallest answer there is: asked for the count that comes with it."""
        await self._get(TIME)

    async def _get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        self.ban.check()  # before spending: what is not sent costs nothing
        ticket = self.budget.spend(monotonic_ms(self.clock))
        heard: list[Reply] = []
        try:
            return await self.exchange.get(path, params, heard.append)
        finally:
            used, at_ms = (used_weight(heard[0]), date_ms(heard[0])) if heard else (None, None)
            self.budget.answered(ticket, monotonic_ms(self.clock), used, at_ms)
