"""``oi:changes``, twice a minute: open interest of now against the rows of before.

It reads the file by a connection of its own, so that a disk too full to write to stops no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn

from services.oi_keeper.metrics import Metrics
from services.oi_keeper.readings import Listings
from services.oi_keeper.settings import Settings
from shared.changes import WINDOWS_MS, Changes, changes, tolerance_ms
from shared.errors import Refused, Transient, WireError
from shared.history.block import Row
from shared.history.file import Series, all_series, file_faults, open_to_read
from shared.history.read import nearest_of_all
from shared.model import Reading
from shared.numbers import plain
from shared.runner import THREADS
from shared.service import Service
from shared.store import CHANGES, CONTRACTS, UNIVERSE, round_trip

EVERY_S = 30.0
SOON_S = 5.0  # after a look that failed
FRESH_MS = 120_000  # what was received longer ago is not open interest of now
UNTOLD = "changes of open interest cannot be told"
Bases = dict[Series, dict[str, Row]]


def rows_now(readings: Mapping[str, Reading], listings: Listings, now_ms: int) -> dict[Series, Row]:
    return dict(_fresh(readings, listings, now_ms))


def _fresh(readings: Mapping[str, Reading], listings: Listings, now_ms: int) -> Iterator[tuple[Series, Row]]:
    for symbol, reading in readings.items():
        oi = reading.open_interest
        series = listings.series(symbol, oi.received_ms)
        if series is not None and abs(now_ms - oi.received_ms) <= FRESH_MS:
            mark = None if reading.mark_price is None else plain(reading.mark_price)
            yield series, Row(oi.received_ms, plain(oi.open_interest), mark)


def bases_of(path: str, now_ms: int) -> Bases:
    """Of every series in the file the rows to compare with. Raises `Transient`, `Refused`."""
    found: Bases = {}
    with contextlib.closing(open_to_read(path)) as db, file_faults(path):
        series = all_series(db)
        for window, window_ms in WINDOWS_MS.items():
            for number, row in nearest_of_all(db, now_ms - window_ms, tolerance_ms(window_ms)).items():
                found.setdefault(series[number], {})[window] = row
    return found


@dataclass
class Teller:
    """``opened``: the file is there; before, nobody has anything to tell."""

    opened: asyncio.Event
    settings: Settings
    service: Service
    metrics: Metrics

    def __post_init__(self) -> None:
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=THREADS)

    async def run(self) -> NoReturn:
        await self.opened.wait()
        while True:
            wait_s = EVERY_S
            try:
                await self.tell()
                self.service.health.over(UNTOLD)
            except (Transient, Refused, WireError) as e:
                self.service.health.aside(UNTOLD, cause=str(e))
                wait_s = SOON_S
            await self.service.clock.sleep(wait_s)

    async def tell(self) -> None:
        """Raises `Transient` or `Refused` where Redis or the file cannot be read."""
        redis, now_ms, bad = self.service.redis, self.service.clock.now_ms(), self.metrics.bad_in_redis
        bases = await asyncio.get_running_loop().run_in_executor(self._aside, bases_of, self.settings.path, now_ms)
        listings = Listings(bases)
        listings.learn(await UNIVERSE.all(redis, bad))
        now = rows_now(await CONTRACTS.all(redis, bad), listings, now_ms)
        told: dict[str, Changes] = {series.symbol: changes(row, bases.get(series, {})) for series, row in now.items()}
        gone = await CHANGES.symbols(redis) - told.keys()
        async with round_trip(redis) as pipe:
            CHANGES.drop(pipe, gone)
            CHANGES.put(pipe, told)
        self.metrics.told.set(now_ms / 1000)
