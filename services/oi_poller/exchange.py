"""The exchange's REST API as the poller needs it; methods are named after the endpoints, all of weight 1.

Each request is accounted for before it is sent, and its answer's count and clock go to the governor.
"""

from __future__ import annotations

from collections.abc import Callable

from services.oi_poller import wire
from services.oi_poller.weight import Governor
from services.oi_poller.wire import ExchangeInfo
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import WireError
from shared.exchange import Exchange, date_ms, used_weight
from shared.model import OpenInterest
from shared.reply import Reply


class Fapi:
    def __init__(self, exchange: Exchange, ban: Ban, governor: Governor, clock: Clock) -> None:
        self._exchange = exchange
        self._ban = ban
        self._governor = governor
        self._clock = clock

    async def open_interest(self, symbol: str) -> OpenInterest:
        body = await self._get("/fapi/v1/openInterest", {"symbol": symbol})
        return wire.open_interest(body, symbol, self._clock.now_ms())

    async def exchange_info(self, on_bad: Callable[[WireError], None]) -> ExchangeInfo:
        info = wire.exchange_info(await self._get("/fapi/v1/exchangeInfo"), on_bad)
        if info.weight_limit is not None:
            self._governor.limit = info.weight_limit
        return info

    async def _get(self, path: str, params: dict[str, str] | None = None) -> bytes:
        now_ms = self._clock.now_ms()
        self._ban.check()  # before spending: what is not sent costs nothing
        ticket = self._governor.spend(now_ms)
        heard: list[Reply] = []
        try:
            return await self._exchange.get(path, params, heard.append)
        finally:
            used, at_ms = (used_weight(heard[0]), date_ms(heard[0])) if heard else (None, None)
            self._governor.settle(ticket, self._clock.now_ms(), used, at_ms)
