"""``oi:changes``, twice a minute: open interest of now against the rows of before. ``oi:past``, where it is missing.

It reads the file by a connection of its own, so that a disk too full to write to stops no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NoReturn

from services.oi_keeper.metrics import Metrics
from services.oi_keeper.readings import Listings, row_of
from services.oi_keeper.settings import Settings
from shared.changes import WINDOWS_MS, Changes, changes, tolerance_ms
from shared.errors import Refused, Transient, WireError
from shared.history.block import Row
from shared.history.file import Series, all_series, file_faults, open_to_read
from shared.history.read import minutes_of, nearest_of_all
from shared.lately import KEPT_MS, KEY, SPAN_MS, encode_rows
from shared.model import Reading
from shared.service import Service
from shared.store import CHANGES, CONTRACTS, UNIVERSE, redis_faults, round_trip

EVERY_S = 30.0
SOON_S = 5.0  # after a look that failed, and while another host tells
AT_ONCE = 20  # symbols of ``oi:past``
FRESH_MS = 120_000  # what was received longer ago is not open interest of now
UNTOLD = "changes of open interest cannot be told"
Bases = dict[Series, dict[str, Row]]


def rows_now(readings: Mapping[str, Reading], listings: Listings, now_ms: int) -> dict[Series, Row]:
    rows = {symbol: row_of(reading) for symbol, reading in readings.items()}
    fresh = {symbol: row for symbol, row in rows.items() if abs(now_ms - row.received_ms) <= FRESH_MS}
    found = {listings.series(symbol, row.received_ms): row for symbol, row in fresh.items()}
    return {series: row for series, row in found.items() if series is not None}


def bases_of(path: str, now_ms: int) -> Bases:
    """Of every series in the file the rows to compare with. Raises `Transient`, `Refused`."""
    found: Bases = {}
    with contextlib.closing(open_to_read(path)) as db, file_faults(path):
        series = all_series(db)
        for window, window_ms in WINDOWS_MS.items():
            for number, row in nearest_of_all(db, now_ms - window_ms, tolerance_ms(window_ms)).items():
                found.setdefault(series[number], {})[window] = row
    return found


def lately(path: str, wanted: Set[Series], now_ms: int) -> dict[str, bytes]:
    """By symbol the last rows of these series, as they stand in ``oi:past``. Raises `Transient`, `Refused`."""
    with contextlib.closing(open_to_read(path)) as db, file_faults(path):
        numbers = {one.symbol: number for number, one in all_series(db).items() if one in wanted}
        found = ((s, list(minutes_of(db, number, now_ms - SPAN_MS, now_ms))) for s, number in numbers.items())
        return {symbol: encode_rows(rows) for symbol, rows in found if rows}


@dataclass
class Teller:
    """``opened``: the file is there; before, nobody has anything to tell."""

    opened: asyncio.Event
    settings: Settings
    service: Service
    metrics: Metrics

    async def run(self) -> NoReturn:
        await self.opened.wait()
        while True:
            wait_s = SOON_S
            try:
                if not self.service.standby:
                    await self.tell()
                    self.service.health.over(UNTOLD)
                    wait_s = EVERY_S
            except (Transient, Refused, WireError) as e:
                self.service.health.aside(UNTOLD, cause=str(e))
            await self.service.clock.sleep(wait_s)

    async def tell(self) -> None:
        """Raises `Transient` or `Refused` where Redis or the file cannot be read."""
        redis, now_ms, bad = self.service.redis, self.service.clock.now_ms(), self.metrics.bad_in_redis
        bases = await asyncio.to_thread(bases_of, self.settings.path, now_ms)
        listings = Listings(bases)
        listings.learn(await UNIVERSE.all(redis, bad))
        now = rows_now(await CONTRACTS.all(redis, bad), listings, now_ms)
        told: dict[str, Changes] = {series.symbol: changes(row, bases.get(series, {})) for series, row in now.items()}
        gone = await CHANGES.symbols(redis) - told.keys()
        async with round_trip(redis) as pipe:
            CHANGES.drop(pipe, gone)
            CHANGES.put(pipe, told)
        self.metrics.told.set(now_ms / 1000)
        async with redis_faults():
            is_there = await redis.exists(KEY)
        if not is_there:
            await self._tell_past(sorted(now), now_ms)

    async def _tell_past(self, series: Sequence[Series], now_ms: int) -> None:
        """``oi:past``, for an alerter that begins on an empty Redis: of each symbol its present series.

        A few at a time: all at once took 3 MiB, which the process never gave back.
        """
        for first in range(0, len(series), AT_ONCE):
            part = frozenset(series[first : first + AT_ONCE])
            lines = await asyncio.to_thread(lately, self.settings.path, part, now_ms)
            if lines:
                async with round_trip(self.service.redis) as pipe:
                    pipe.hset(KEY, mapping=dict(lines.items()))
                    pipe.pexpire(KEY, KEPT_MS)
