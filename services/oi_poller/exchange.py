"""The exchange's REST API as the poller needs it; methods are named after the endpoints, all of weight 1.

Each request is accounted for before it is sent, and its answer's count and clock go to the budget.
"""

from __future__ import annotations

from collections.abc import Callable

from services.oi_poller import wire
from services.oi_poller.weight import WeightBudget
from services.oi_poller.wire import ExchangeInfo
from shared.ban import Ban
from shared.clock import Clock, monotonic_ms
from shared.errors import WireError
from shared.exchange import Exchange, date_ms, used_weight
from shared.model import OpenInterest
from shared.reply import Reply


class Fapi:
    def __init__(self, exchange: Exchange, ban: Ban, budget: WeightBudget, clock: Clock) -> None:
        self._exchange = exchange
        self._ban = ban
        self._budget = budget
        self._clock = clock

    async def open_interest(self, symbol: str) -> OpenInterest:
        body = await self._get("/fapi/v1/openInterest", {"symbol": symbol})
        return wire.open_interest(body, symbol, self._clock.now_ms())

    async def exchange_info(self, on_bad: Callable[[WireError], None]) -> ExchangeInfo:
        info = wire.exchange_info(await self._get("/fapi/v1/exchangeInfo"), on_bad)
        if info.weight_limit is not None:
            self._budget.limit = info.weight_limit
        return info

    async def server_time(self) -> None:
        """The smallest answer there is: asked for the count that comes with it."""
        await self._get("/fapi/v1/time")

    async def _get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        self._ban.check()  # before spending: what is not sent costs nothing
        ticket = self._budget.spend(monotonic_ms(self._clock))
        heard: list[Reply] = []
        try:
            return await self._exchange.get(path, params, heard.append)
        finally:
            used, at_ms = (used_weight(heard[0]), date_ms(heard[0])) if heard else (None, None)
            self._budget.answered(ticket, monotonic_ms(self._clock), used, at_ms)
