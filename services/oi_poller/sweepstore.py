"""What the poller reads from Redis and writes to it, a sweep at a time; raises `Transient` while Redis is away."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from services.oi_poller.metrics import Metrics
from services.oi_poller.universe import Universe
from shared.clock import Clock, monotonic_ms
from shared.codec import decode_sweep
from shared.errors import Transient, WireError
from shared.health import Health
from shared.model import MarkPrice, QuoteVolume, Reading, Sweep
from shared.store import CONTRACTS, MARKS, SWEEPS, UNIVERSE, VOLUMES, is_full, redis_faults, round_trip
from shared.sweeplog import FIELD, RETENTION_MS, append, trim

FULL = "Redis is full (maxmemory): the history of sweeps is made shorter"
LEAST_HISTORY = 30  # sweeps that stay however full Redis is: five minutes


@dataclass
class SweepStore:
    redis: Redis
    universe: Universe
    metrics: Metrics
    clock: Clock
    health: Health
    min_interval_s: float  # the shortest there can be: what bounds the number of sweeps kept

    def __post_init__(self) -> None:
        self._began_ms = self.clock.now_ms() - monotonic_ms(self.clock)
        self._most = math.ceil(RETENTION_MS / 1000 / self.min_interval_s) + 1
        self._owed: Sweep | None = None
        self._tried = False
        self.recalled = asyncio.Event()

    async def recall(self) -> dict[str, Reading]:
        """Members and their last good readings, of the run before."""
        members = await UNIVERSE.all(self.redis, self.metrics.bad_in_redis)
        readings = await CONTRACTS.all(self.redis, self.metrics.bad_in_redis)
        self.universe.members = members
        self.universe.departed |= readings.keys() - members.keys()
        self.recalled.set()
        return {symbol: reading for symbol, reading in readings.items() if symbol in members}

    async def volumes(self) -> dict[str, QuoteVolume]:
        return await VOLUMES.all(self.redis, self.metrics.bad_in_redis)

    async def marks(self) -> dict[str, MarkPrice]:
        return await MARKS.all(self.redis, self.metrics.bad_in_redis)

    def owe(self, sweep: Sweep) -> None:
        """To be written by `write_owed`; only the newest is kept."""
        self._owed = sweep
        self._tried = False

    async def write_owed(self) -> Sweep | None:
        """Write what is owed, once, though Redis may have obeyed a write whose answer never came; returns it."""
        sweep = self._owed
        if sweep is not None and not (self._tried and await self._landed(sweep.sweep_id)):
            self._tried = True
            try:
                await self._write(sweep)
                self.health.over(FULL)
            except Transient as e:
                if is_full(e):
                    await self._make_room()
                raise
        self._owed = None
        return sweep

    async def _write(self, sweep: Sweep) -> None:
        departed = set(self.universe.departed)
        fresh = {s: r for s, r in sweep.readings.items() if s not in sweep.failures and s not in departed}
        async with round_trip(self.redis) as pipe:
            trim(pipe, self._earliest_ms(), self._most)
            UNIVERSE.drop(pipe, departed)
            CONTRACTS.drop(pipe, departed)
            UNIVERSE.put(pipe, self.universe.members, self.metrics.bad_in_redis)
            CONTRACTS.put(pipe, fresh, self.metrics.bad_in_redis)
            append(pipe, sweep)  # last: when it is there, all of it is
        self.universe.departed -= departed

    def _earliest_ms(self) -> int:
        """The wall clock, or one that goes on evenly from the start, whichever is behind.

        A jump ahead must not make three hours of history old, nor a clock that was ahead at the start and was set back.
        """
        return min(self.clock.now_ms(), self._began_ms + monotonic_ms(self.clock))

    async def _make_room(self) -> None:
        """Redis is full, and the history is what there is most of: a quarter of it goes, delivered or not."""
        async with round_trip(self.redis) as pipe:  # on its own: a full Redis obeys it, and refuses what follows
            trim(pipe, self._earliest_ms(), self._most)
        async with redis_faults():
            length = int(await self.redis.xlen(SWEEPS))
            kept = max(LEAST_HISTORY, length * 3 // 4)
            if kept < length:
                await self.redis.xtrim(SWEEPS, maxlen=kept, approximate=False)
        self.health.aside(FULL, sweeps_before=length, sweeps=kept)

    async def _landed(self, sweep_id: str) -> bool:
        async with redis_faults():
            newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", await self.redis.xrevrange(SWEEPS, count=1))
        try:
            return any(decode_sweep(fields.get(FIELD, b"")).sweep_id == sweep_id for _, fields in newest)
        except WireError:
            return False
