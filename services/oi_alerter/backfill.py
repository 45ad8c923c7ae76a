"""The last hour of symbols that have no history yet: out of ``oi:past``, where the keeper tells it there, else asked of
``openInterestHist``, two symbols a second.

The answers are kept in ``oi:history``, so that a restart within the hour does not ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
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
    """``ready``: the history is whole, so what is missing in it can be told. ``asked``: symbol -> Unix ms."""

    service: Service
    statistics: Statistics
    memory: Memory
    history: History
    ready: asyncio.Event
    metrics: Metrics
    asked: dict[str, int] = field(default_factory=dict)  # when each was last asked for, successfully or not

    def recall(self, answers: dict[str, bytes], on_bad: Callable[[WireError], None]) -> None:
        """Put what was answered before a restart into the history that was just rebuilt."""
        for symbol, body in answers.items():
            try:
                samples = wire.past_samples(body, symbol)
            except WireError as e:
                on_bad(e)
                continue
            self.asked[symbol] = max((sample.at_ms for sample in samples), default=0)
            self.history.recall(symbol, samples)

    async def keep(self) -> NoReturn:
        while True:
            await self.ready.wait()
            symbol = self.next_symbol()
            if symbol is None:
                await self.service.clock.sleep(LOOK_S)
                continue
            try:
                if await self._is_kept(symbol):
                    continue
                await self._ask(symbol)
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

    def next_symbol(self) -> str | None:
        """One that is seen now, whose history is too short, and that was not asked for since it began."""
        self.asked = {s: at for s, at in self.asked.items() if s in self.history.series}
        now_ms = self.service.clock.now_ms()
        for symbol, series in self.history.series.items():
            seen = now_ms - series.newest_ms <= self.history.longest_hole_ms
            asked = series.first_ms <= self.asked.get(symbol, 0) <= now_ms  # later: by a clock that was set back since
            if self._is_short(series) and seen and not asked:
                return symbol
        return None

    async def _ask(self, symbol: str) -> None:
        now_ms = self.service.clock.now_ms()
        try:
            body = await self.statistics.ask(symbol, "5m", self.history.horizon_ms // PERIOD_MS + 2)
            samples = wire.past_samples(body, symbol)
        except (Rejected, WireError) as e:
            self.metrics.warmed.labels("failed").inc()
            self.service.health.aside("one symbol's past is not to be had", cause=str(e))
        else:
            self.metrics.warmed.labels("told").inc()
            await self.memory.keep_backfilled(symbol, body, 2 * self.history.horizon_ms)
            self.history.recall(symbol, samples)
        self.asked[symbol] = now_ms
