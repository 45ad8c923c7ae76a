"""A sweep as the poller lands it: with its universe, and with marks of that moment."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.codec import encode_sweep
from shared.model import Member, Sweep
from shared.store import MARKS, SWEEPS, UNIVERSE, round_trip
from shared.sweeplog import FIELD
from tests.builders import mark


async def land(redis: Redis, sweep: Sweep) -> None:
    at_ms = sweep.ended_ms
    prices = {symbol: row.mark_price for symbol, row in sweep.readings.items() if row.mark_price}
    members = {s: Member(s, row.open_interest.open_interest, 0, at_ms, 0) for s, row in sweep.readings.items()}
    async with round_trip(redis) as pipe:
        pipe.delete(MARKS.key, UNIVERSE.key)
        MARKS.put(pipe, {s: mark(s, str(price), event_ms=at_ms, received_ms=at_ms) for s, price in prices.items()})
        UNIVERSE.put(pipe, members)
        pipe.xadd(SWEEPS, {FIELD: encode_sweep(sweep)}, id=f"{at_ms}-0")
