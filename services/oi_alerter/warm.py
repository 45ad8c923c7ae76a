"""The past of symbols that have none yet, from openInterestHist: gently, and not at all while the exchange wants peace.

The route costs no weight and has a limit of its own, 1000 requests in five minutes for the whole address. A 429 here is
about that limit: this service waits, and the poller does not have to. What was told is kept in Redis, so that a restart
does not ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import httpx

from services.oi_alerter import wire
from services.oi_alerter.history import History
from services.oi_alerter.memory import Memory
from services.oi_alerter.metrics import Metrics
from shared import exchange, http
from shared.backoff import Backoff
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog, OncePer

log = EventLog("warm")
PATH = "/futures/data/openInterestHist"
PERIOD_MS = 300_000
EVERY_S = 0.5
LOOK_S = 2.0  # between looks for symbols without history
BAN_NAP_S = 30.0
TIMEOUT_S = 5.0


class Warm:
    """``asked``: symbol -> when it was last asked for, successfully or not."""

    def __init__(
        self, origin: str, client: httpx.AsyncClient, ban: Ban, memory: Memory, history: History,
        ready: asyncio.Event, metrics: Metrics, clock: Clock,
    ) -> None:  # fmt: skip
        self._url = origin + PATH
        self._client = client
        self._ban = ban
        self._memory = memory
        self._history = history
        self._ready = ready
        self._metrics = metrics
        self._clock = clock
        self._backoff = Backoff(2.0, 300.0)
        self._once = OncePer(clock, 60.0)
        self.asked: dict[str, int] = {}

    def recall(self, told: dict[str, bytes], on_bad: Callable[[WireError], None]) -> None:
        """After the history was rebuilt: what was told before a restart."""
        for symbol, body in told.items():
            try:
                samples = wire.open_interest_hist(body, symbol)
            except WireError as e:
                on_bad(e)
                continue
            self.asked[symbol] = max((sample.at_ms for sample in samples), default=0)
            self._history.recall(symbol, samples)

    async def keep(self) -> NoReturn:
        while True:
            await self._ready.wait()
            symbol = self.next_symbol()
            if symbol is None:
                await self._clock.sleep(LOOK_S)
                continue
            try:
                await self._ask(symbol)
                self._backoff.reset()
                await self._clock.sleep(EVERY_S)
            except (Transient, Refused) as e:
                await self._wait(e)

    def next_symbol(self) -> str | None:
        """One that is seen now, whose history is too short, and that was not asked for since it began."""
        self.asked = {s: at for s, at in self.asked.items() if s in self._history.series}
        now_ms = self._clock.now_ms()
        for symbol, series in self._history.series.items():
            short = series.span_ms < self._history.horizon_ms - 2 * PERIOD_MS
            seen = now_ms - series.newest_ms <= self._history.longest_hole_ms
            if short and seen and self.asked.get(symbol, 0) < series.first_ms:
                return symbol
        return None

    async def _ask(self, symbol: str) -> None:
        now_ms = self._clock.now_ms()
        await self._ban.refresh()
        self._ban.check()
        try:
            body = await self._get(symbol)
            samples = wire.open_interest_hist(body, symbol)
        except (Rejected, WireError) as e:
            self._metrics.warmed.labels("failed").inc()
            self._say("one symbol's past is not to be had", e)
        else:
            self._metrics.warmed.labels("told").inc()
            await self._memory.keep_told(symbol, body, 2 * self._history.horizon_ms)
            self._history.recall(symbol, samples)
        self.asked[symbol] = now_ms

    async def _get(self, symbol: str) -> bytes:
        limit = str(min(500, self._history.horizon_ms // PERIOD_MS + 2))
        params = {"symbol": symbol, "period": "5m", "limit": limit}
        request = self._client.build_request("GET", self._url, params=params)
        reply = await http.send(self._client, request, timeout_s=TIMEOUT_S, max_bytes=1024 * 1024)
        error = exchange.failure(reply, self._clock.now_ms())
        if isinstance(error, Banned):
            await self._ban.record(error)
        if error is not None:
            raise error
        return reply.body

    async def _wait(self, error: Exception) -> None:
        self._say("the past cannot be asked for now", error)
        told_s = (error.retry_after_s or 0.0) if isinstance(error, RateLimited) else 0.0
        if isinstance(error, Banned):
            told_s = min(told_s, BAN_NAP_S)  # then look again whether it became longer
        await self._clock.sleep(max(self._backoff.next_s(), told_s))

    def _say(self, what: str, error: Exception) -> None:
        if self._once.due(what) is not None:
            log.warning(what, cause=str(error))
