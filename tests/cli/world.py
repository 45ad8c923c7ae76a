"""A pipeline at rest, as its services would leave it in Redis: all is well until a test changes something."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from redis.asyncio import Redis

from cli.state import Snapshot, read
from shared.clock import iso
from shared.model import MarkPrice, Member, OpenInterest, QuoteVolume, Reading, Served, Sweep
from shared.store import CONTRACTS, LEFT_OUT, MARKS, PUBLISHER, SERVED, STATUS, UNIVERSE, VOLUMES, round_trip
from shared.sweeplog import append

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "龙虾USDT")
SERVICES = ("ws_daemon", "oi_poller", "publisher", "oi_alerter", "funding_api", "oi_keeper")


class World:
    """Ages are seconds before now; each part may be changed, then `write` puts all of it into Redis."""

    def __init__(self, symbols: tuple[str, ...] = SYMBOLS) -> None:
        self.now_ms = time.time_ns() // 1_000_000
        self.universe = set(symbols)
        self.mark_age_s = dict.fromkeys(symbols, 0.5)
        self.oi_age_s = dict.fromkeys(symbols, 3.0)
        self.contracts = {symbol: f"{1000 + n}.5" for n, symbol in enumerate(symbols)}
        self.volume = dict.fromkeys(symbols, 5_000_000.0)
        self.left_out: dict[str, str] = {}
        self.served = dict.fromkeys(symbols, "verified")
        self.sweeps: list[Sweep] | None = None
        self.failures: dict[str, str] = {}
        self.batch_age_s = 2.0
        self.ban_ms = 0
        self.learnt: dict[str, str] = {}
        self.beats: dict[str, dict[str, str]] = {name: {"state": "ok", "detail": "well"} for name in SERVICES}
        self.beats["ws_daemon"] |= {"connections": "2", "source": "stream"}
        self.beats["oi_poller"] |= {"used_weight": "687", "interval_s": "10.2"}
        self.beats["publisher"] |= {"backlog": "0", "ghosts": "0"}

    def usd(self, symbol: str) -> float:
        return float(self.contracts[symbol]) * 100

    async def write(self, redis: Redis) -> None:
        ms = self.now_ms
        stamp = {"since": iso(ms - 60_000), "lastSuccess": iso(ms - 1000), "beat": iso(ms)}
        readings = {s: self._reading(s) for s in self.contracts}
        batch_ms = int(ms - self.batch_age_s * 1000)
        async with round_trip(redis) as pipe:
            pipe.flushall()
            for name, beat in self.beats.items():
                pipe.hset(STATUS + name, mapping={**stamp, **self._cycle(name, batch_ms), **beat})
            marks = {s: self._mark(s, age_s) for s, age_s in self.mark_age_s.items()}
            MARKS.put(pipe, marks)
            VOLUMES.put(pipe, {s: QuoteVolume(s, Decimal(str(v)), ms) for s, v in self.volume.items()})
            UNIVERSE.put(pipe, {s: Member(s, Decimal(5_000_000), ms - 60_000, ms - 1000, 0) for s in self.universe})
            CONTRACTS.put(pipe, readings)
            rows = {
                s: Served(None if word == "missing" else self.usd(s), ms - 2000, word)
                for s, word in self.served.items()
            }
            SERVED.put(pipe, rows)
            if self.left_out:
                pipe.hset(LEFT_OUT, mapping=self.left_out)
            swept = {s: r for s, r in readings.items() if s in self.universe}
            for sweep in self.sweeps or [Sweep("last", batch_ms - 900, batch_ms, swept, self.failures)]:
                append(pipe, sweep)
            pipe.hset(
                PUBLISHER, mapping={"delivered": f"{batch_ms}-0", "post_s": "0.03", "post_status": "200", **self.learnt}
            )
            if self.ban_ms:
                pipe.set("oi:ban", self.ban_ms)

    async def seen(self, redis: Redis, **options: Any) -> Snapshot:
        await self.write(redis)
        return await read(redis, **options)

    def _cycle(self, name: str, batch_ms: int) -> dict[str, str]:
        if name != "publisher":
            return {}
        total = str(len(self.universe))
        return {"verdict": "VERIFIED", "served": total, "universe": total, "batch": iso(batch_ms)}

    def _mark(self, symbol: str, age_s: float) -> MarkPrice:
        at_ms = int(self.now_ms - age_s * 1000)
        return MarkPrice(symbol, Decimal("100.00"), None, Decimal("0.0001"), 0, at_ms, at_ms)

    def _reading(self, symbol: str) -> Reading:
        at_ms = int(self.now_ms - self.oi_age_s[symbol] * 1000)
        oi = OpenInterest(symbol, Decimal(self.contracts[symbol]), at_ms - 60_000, at_ms)
        return Reading(oi, Decimal("100.00"))
