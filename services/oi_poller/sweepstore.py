"""What the poller reads from Redis and writes to it, a sweep at a time; raises `Transient` while Redis is away."""

from __future__ import annotations

import asyncio
import math
from typing import cast

from redis.asyncio import Redis

from services.oi_poller.metrics import Metrics
from services.oi_poller.universe import Universe
from shared.clock import Clock, monotonic_ms
from shared.codec import decode_sweep
from shared.errors import Transient, WireError
from shared.logs import EventLog, OncePer
from shared.model import MarkPrice, QuoteVolume, Reading, Sweep
from shared.store import CONTRACTS, MARKS, SWEEPS, UNIVERSE, VOLUMES, is_full, redis_faults, round_trip
from shared.sweeplog import FIELD, RETENTION_MS, append, trim

log = EventLog("sweepstore")
LEAST_HISTORY = 30  # sweeps that stay however full Redis is: five minutes


class SweepStore:
    def __init__(self, redis: Redis, universe: Universe, metrics: Metrics, clock: Clock, min_interval_s: float) -> None:
        self._redis = redis
        self._universe = universe
        self._metrics = metrics
        self._clock = clock
        self._began_ms = clock.now_ms() - monotonic_ms(clock)
        self._most = math.ceil(RETENTION_MS / 1000 / min_interval_s) + 1
        self._once = OncePer(clock, 60.0)
        self._owed: Sweep | None = None
        self._tried = False
        self.recalled = asyncio.Event()

    async def recall(self) -> dict[str, Reading]:
        """Members and their last good readings, of the run before."""
        members = await UNIVERSE.all(self._redis, self._metrics.bad_in_redis)
        readings = await CONTRACTS.all(self._redis, self._metrics.bad_in_redis)
        self._universe.members = members
        self._universe.departed |= readings.keys() - members.keys()
        self.recalled.set()
        return {symbol: reading for symbol, reading in readings.items() if symbol in members}

    async def volumes(self) -> dict[str, QuoteVolume]:
        return await VOLUMES.all(self._redis, self._metrics.bad_in_redis)

    async def marks(self) -> dict[str, MarkPrice]:
        return await MARKS.all(self._redis, self._metrics.bad_in_redis)

    def owe(self, sweep: Sweep) -> None:
        """To be written by `settle`; only the newest is kept."""
        self._owed = sweep
        self._tried = False

    async def settle(self) -> Sweep | None:
        """Write what is owed, once, though Redis may have obeyed a write whose answer never came; returns it."""
        sweep = self._owed
        if sweep is not None and not (self._tried and await self._landed(sweep.sweep_id)):
            self._tried = True
            try:
                await self._write(sweep)
            except Transient as e:
                if is_full(e):
                    await self._make_room()
                raise
        self._owed = None
        return sweep

    async def _write(self, sweep: Sweep) -> None:
        departed = set(self._universe.departed)
        fresh = {s: r for s, r in sweep.readings.items() if s not in sweep.failures and s not in departed}
        async with round_trip(self._redis) as pipe:
            trim(pipe, self._steady_ms(), self._most)
            UNIVERSE.drop(pipe, departed)
            CONTRACTS.drop(pipe, departed)
            UNIVERSE.put(pipe, self._universe.members, self._metrics.bad_in_redis)
            CONTRACTS.put(pipe, fresh, self._metrics.bad_in_redis)
            append(pipe, sweep)  # last: when it is there, all of it is
        self._universe.departed -= departed

    def _steady_ms(self) -> int:
        """Unix ms that go on evenly while the wall clock is set: a jump must not make three hours of history old."""
        return self._began_ms + monotonic_ms(self._clock)

    async def _make_room(self) -> None:
        """Redis is full, and the history is what there is most of: a quarter of it goes, delivered or not."""
        async with redis_faults():
            length = int(await self._redis.xlen(SWEEPS))
            kept = max(LEAST_HISTORY, length * 3 // 4)
            if kept < length:
                await self._redis.xtrim(SWEEPS, maxlen=kept, approximate=False)
        if self._once.due("full") is not None:
            log.warning("Redis is full (maxmemory): its history of sweeps made shorter", before=length, sweeps=kept)

    async def _landed(self, sweep_id: str) -> bool:
        async with redis_faults():
            newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", await self._redis.xrevrange(SWEEPS, count=1))
        try:
            return any(decode_sweep(fields.get(FIELD, b"")).sweep_id == sweep_id for _, fields in newest)
        except WireError:
            return False
