"""What was before the keeper: a week in hours of each series, as the exchange tells it, two symbols a second.

It is kept as the exchange's own statistic, beside what was seen. Each day it is asked for again, without haste, and
compared with the rows of that day: a second opinion on ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from services.oi_keeper.keeper import FileAway, Keeper
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.writer import Writer
from shared.errors import Refused, Rejected, Transient, WireError
from shared.history.block import Row
from shared.history.file import DAY_MS, MINUTE_MS, Series
from shared.logs import first_names
from shared.numbers import plain
from shared.service import Service
from shared.store import UNIVERSE
from shared.venues.binance import bodies
from shared.venues.binance.statistics import EVERY_S, Statistics

HOURS = 168
LOOK_S = 5.0
AT_ONCE = 20  # series between two looks at the universe, which is decoded whole each time
SOON_S = 1.0
LEISURE_S = 4.0  # from one symbol to the next, for each day's opinion; the first week is asked for as fast as may be
AGAIN_MS = DAY_MS
DIFFERS = 0.005  # a fraction of the statistic
LEAST_PAIRS = 3  # one alone may be a move within its minute
DIFFERING = "the exchange's own statistic differs from what was kept"


def rows_told(body: bytes, symbol: str, onboard_ms: int) -> list[Row]:
    """Of openInterestHist's body; what lies before the listing is a dead namesake's. The price is that of its value."""
    rows = []
    for told in bodies.open_interest_statistics(body, symbol):
        if told.at_ms >= onboard_ms:
            mark = f"{told.value / told.contracts:.8f}" if told.value and told.contracts else "0"
            rows.append(Row(told.at_ms, plain(told.contracts), mark if float(mark) else None, ours=False))
    return rows


def difference(told: Iterable[Row], kept: Iterable[Row]) -> float | None:
    """By which fraction the middle hour of the statistic differs from ours; None where too few can be compared."""
    minutes = {row.received_ms // MINUTE_MS: float(row.contracts) for row in kept}
    pairs = [(float(row.contracts), minutes.get(row.received_ms // MINUTE_MS)) for row in told]
    off = [abs(ours / theirs - 1) for theirs, ours in pairs if ours is not None and theirs > 0]
    return sorted(off)[len(off) // 2] if len(off) >= LEAST_PAIRS else None


@dataclass
class Backfill:
    service: Service
    statistics: Statistics
    keeper: Keeper
    metrics: Metrics
    differences: dict[Series, float] = field(default_factory=dict)

    async def keep(self) -> NoReturn:
        while True:
            try:
                wanted, asked = await self._due()
                for series in wanted[:AT_ONCE]:
                    await self._ask(series)
                    await self.statistics.after_an_answer(LEISURE_S if series in asked else EVERY_S)
                if not wanted:
                    await self.service.clock.sleep(LOOK_S)
            except FileAway:
                await self.service.clock.sleep(SOON_S)  # the keeper says why, and may open it any moment
            except (Transient, Refused) as e:
                await self.statistics.after_a_failure(e)

    async def _due(self) -> tuple[list[Series], Mapping[Series, int]]:
        """Whom to ask for now, and when each was asked for before."""
        members = await UNIVERSE.all(self.service.redis, self.metrics.bad_in_redis)
        listed = {Series(symbol, member.onboard_ms) for symbol, member in members.items()}
        for left in self.differences.keys() - listed:
            self._tell(left, None)
        asked = await self.keeper.in_file(Writer.asked)
        return due(listed, asked, self.service.clock.now_ms()), asked

    async def _ask(self, series: Series) -> None:
        now_ms = self.service.clock.now_ms()
        told, outcome = list[Row](), "told"
        try:
            body = await self.statistics.ask(series.symbol, "1h", HOURS)
            told = rows_told(body, series.symbol, series.onboard_ms)
        except (Rejected, WireError) as e:
            outcome = "failed"
            self.service.health.aside("one symbol's statistic is not to be had", cause=str(e))
        kept = await self.keeper.in_file(Writer.told, series, told, now_ms)
        self.metrics.backfilled.labels(outcome).inc()
        self._tell(series, difference(told, kept))

    def _tell(self, series: Series, off: float | None) -> None:
        """By how much one series differs now, beside the others; None: it cannot be compared."""
        self.differences.pop(series, None)
        if off is not None:
            self.differences[series] = off
        differing = sorted(one.symbol for one, off in self.differences.items() if off > DIFFERS)
        self.metrics.compared.set(len(self.differences))
        self.metrics.differing.set(len(differing))
        self.service.facts.update(compared=str(len(self.differences)), differing=",".join(differing[:20]))
        if differing:
            self.service.health.aside(DIFFERING, count=len(differing), symbols=first_names(differing))
        else:
            self.service.health.over(DIFFERING)


def due(listed: Iterable[Series], asked: Mapping[Series, int], now_ms: int) -> list[Series]:
    """Those that were never asked for, then those whose last answer is a day old."""
    late = [series for series in listed if not 0 <= now_ms - asked.get(series, 0) < AGAIN_MS]
    return sorted(late, key=lambda series: (asked.get(series, 0), series))
