"""The last hour of symbols that have no history yet: out of ``oi:past``, where the keeper tells it there, else asked of
``openInterestHist``, two symbols a second.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NoReturn

from services.oi_alerter import wire
from services.oi_alerter.history import History, Series
from services.oi_alerter.memory import Memory
from services.oi_alerter.metrics import Metrics
from shared.errors import Refused, Rejected, Transient, WireError
from shared.service import Service
from shared.venues.binance.statistics import Statistics

PERIOD_MS = 300_000
LOOK_S = 2.0  # between looks for symbols without history


@dataclass
class Backfill:
    """``ready``: the history is whole, so what is missing in it can be told."""

    service: Service
    statistics: Statistics
    memory: Memory
    history: History
    ready: asyncio.Event
    metrics: Metrics

    async def keep(self) -> NoReturn:
        while True:
            await self.ready.wait()
            wanted = self._next()
            if wanted is None:
                await self.service.clock.sleep(LOOK_S)
                continue
            try:
                if not await self._is_kept(wanted[0]):
                    await self._ask(*wanted)
                    await self.statistics.after_an_answer()
            except (Transient, Refused) as e:
                await self.statistics.after_a_failure(e)

    async def _is_kept(self, symbol: str) -> bool:
        """Whether what the keeper has of it is enough."""
        rows = await self.memory.kept(symbol)
        if rows is None:
            return False
        try:
            self.history.recall(symbol, wire.kept_samples(rows, symbol))
        except WireError as e:
            self.metrics.bad_in_redis(e)
        series = self.history.series.get(symbol)  # none: dropped while Redis was asked
        if series is None or self._is_short(series):
            return False
        self.metrics.warmed.labels("kept").inc()
        return True

    def _is_short(self, series: Series) -> bool:
        return series.span_ms < self.history.horizon_ms - 2 * PERIOD_MS

    def _next(self) -> tuple[str, Series] | None:
        """One that is seen now, whose history is too short, and that was not asked for since it began."""
        now_ms = self.service.clock.now_ms()
        for symbol, series in self.history.series.items():
            seen = now_ms - series.newest_ms <= self.history.longest_hole_ms
            if seen and not series.asked and self._is_short(series):
                return symbol, series
        return None

    async def _ask(self, symbol: str, series: Series) -> None:
        try:
            body = await self.statistics.ask(symbol, "5m", self.history.horizon_ms // PERIOD_MS + 2)
            samples = wire.past_samples(body, symbol)
        except (Rejected, WireError) as e:
            self.metrics.warmed.labels("failed").inc()
            self.service.health.aside("one symbol's past is not to be had", cause=str(e))
        else:
            self.metrics.warmed.labels("told").inc()
            self.history.recall(symbol, samples)
        series.asked = True
