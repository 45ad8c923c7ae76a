"""Open interest over venues, every five minutes, into a file of its own beside the other: each sum and its members.

``all:BTC`` is the sum, ``okx:BTC-USDT-SWAP`` one of its members, in coins of one side; a colon stands in no symbol of
Binance's. Which members a sum had stands in their rows of the same instant. Where no other venue is read, there is no
file. What is not kept in its five minutes, the file or Redis being away, is a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NoReturn

from services.oi_keeper.metrics import Metrics
from services.oi_keeper.readings import ExchangeClock, Stamp
from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import Reading, Writer
from shared.errors import Refused, Transient, WireError
from shared.history.block import Row
from shared.history.file import Series, file_faults, venues_path
from shared.numbers import plain
from shared.service import Service
from shared.venuelines import BINANCE, AllVenues, read_venues

EVERY_S = 300
UNKEPT = "open interest over venues is not kept"
SUM = "all"


def readings_of(seen: AllVenues, now_ms: int) -> list[Reading]:
    """A reading of each sum and of each of its members, all of this instant; of what is in no sum there is none."""
    found = []
    for coin in sorted(seen.coins()):
        told = seen.sum(coin, now_ms)
        if not told.members:
            continue
        mean = f"{told.usd / told.base:.12f}"
        found.append(Reading(Series(f"{SUM}:{coin}", 0), Row(now_ms, plain(told.base), mean)))
        for row in told.members:
            mark = None if row.mark_price is None else plain(row.mark_price)
            found.append(Reading(Series(f"{row.venue}:{row.symbol}", 0), Row(now_ms, plain(row.base), mark)))
    return found


class VenueKeeper:
    def __init__(self, path: str, service: Service, metrics: Metrics) -> None:
        self._path = venues_path(path)
        self._service = service
        self._metrics = metrics
        self._exchange_clock = ExchangeClock()

    async def run(self) -> NoReturn:
        clock = self._service.clock
        while True:
            await clock.sleep(EVERY_S - clock.now_ms() / 1000 % EVERY_S)
            try:
                await self.turn()
                self._service.health.over(UNKEPT)
            except (Transient, Refused, WireError) as e:
                self._service.health.aside(UNKEPT, cause=str(e))

    async def turn(self) -> int:
        """How many rows were added. Raises `Transient` or `Refused` where Redis or the file is away, `WireError` where
        the clock is far off.
        """
        now_ms = self._service.clock.now_ms()
        seen = await read_venues(self._service.redis, self._metrics.bad_in_redis)
        readings = readings_of(seen, now_ms)
        if not readings:
            return 0
        own = (row for of_coin in seen.rows.get(BINANCE, {}).values() for row in of_coin)
        off = self._exchange_clock.judge(
            {row.symbol: Stamp(row.received_ms, row.venue_ms) for row in own if row.venue_ms is not None}
        )
        if off is not None:
            raise off
        return await asyncio.to_thread(self._write, readings, now_ms)

    def _write(self, readings: list[Reading], now_ms: int) -> int:
        with file_faults(self._path), contextlib.closing(open_to_write(self._path)) as db:
            writer = Writer(db)
            added = writer.add(readings)
            while (day := writer.over(now_ms)) is not None:
                writer.fold(day)
                writer.let_go(now_ms)
            return added
