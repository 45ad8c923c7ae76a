"""Binance's own open interest: read once for all venues, told as one venue among them, and what they say against it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NoReturn

from redis.asyncio import Redis

from services.venue_poller.lines import Lines
from services.venue_poller.matching import Binance
from services.venue_poller.metrics import Metrics
from services.venue_poller.opinion import Dissent, changes, dissents, said
from shared.clock import Clock
from shared.errors import Transient
from shared.service import Service
from shared.store import CONTRACTS, MARKS
from shared.together import Together
from shared.venuelines import BINANCE, VenueLine

FRESH_S = 2.0
PACE_S = 5.0
LOOK_EVERY_S = 30.0
DAY_MS = 86_400_000
ALONE = "binance goes another way than every other venue"


def binance_in(redis: Redis, metrics: Metrics, clock: Clock) -> Together[Binance]:
    """What Redis holds of it, at most `FRESH_S` old."""

    async def read() -> Binance:
        contracts = await CONTRACTS.all(redis, metrics.bad_in_redis)
        marks = await MARKS.all(redis, metrics.bad_in_redis, only=contracts)
        return Binance(marks, contracts, clock.now_ms())

    return Together(read, FRESH_S, clock)


class OwnRows:
    """``lines``: of each venue that is read; Binance's stand beside them."""

    def __init__(
        self, binance: Together[Binance], lines: Mapping[str, Lines], service: Service, metrics: Metrics
    ) -> None:
        self._binance = binance
        self._own = Lines(service.redis, BINANCE)
        self._others = lines
        self._service = service
        self._metrics = metrics
        self._recalled = False
        self._looked_s = float("-inf")
        self._warning = ""

    async def run(self) -> NoReturn:
        while True:
            with contextlib.suppress(Transient):  # Redis away: the venues' own loops tell of it
                await self.turn()
            await self._service.clock.sleep(PACE_S)

    async def turn(self) -> None:
        """Raises `Transient`."""
        if not self._recalled:
            await self._own.recall(self._service.clock.now_ms())
            self._recalled = True
        await self._put(await self._binance.latest())
        now_s = self._service.clock.monotonic_s()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._say(self._compared())

    async def _put(self, binance: Binance) -> None:
        """The coins that others have too; Binance's own names are composed of a coin and never taken apart."""
        now_ms = self._service.clock.now_ms()
        coins = {coin for lines in self._others.values() for coin in lines.coins()}
        rows = [row for coin in sorted(coins) if (own := binance.of(coin)) for row in own.rows]
        gone = [row for row in self._own.held() if now_ms - row.received_ms > DAY_MS]
        at_ms = max((row.received_ms for row in rows), default=0)
        line = VenueLine(at_ms, now_ms, len(rows), len({row.coin for row in rows}), warning=self._warning)
        await self._own.write(line, now_ms, rows, gone)

    def _compared(self) -> list[Dissent]:
        now_ms = self._service.clock.now_ms()
        told = {**self._others, BINANCE: self._own}
        return dissents({venue: changes(lines.held(), lines.past, now_ms) for venue, lines in told.items()})

    def _say(self, found: list[Dissent]) -> None:
        self._warning = said(found)
        self._metrics.dissents.set(len(found))
        if found:
            self._service.health.aside(ALONE, coins=len(found), evidence=self._warning)
        else:
            self._service.health.over(ALONE)
