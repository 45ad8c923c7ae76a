"""The keeper's process killed at fifty random instants: of what landed nothing is lost, doubled or torn."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from dev.processes import Child
from shared.clock import SystemClock
from shared.codec import encode_sweep
from shared.history.block import Row
from shared.history.file import DAY_MS, MINUTE_MS, integrity, open_to_read
from shared.history.read import rows_of, series_of
from shared.model import Member, Sweep
from shared.store import SWEEPS, UNIVERSE, round_trip
from tests.builders import reading
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
KILLS, MINUTES_EACH = 50, 36
SYMBOLS = [f"S{n}USDT" for n in range(40)]
# Over a midnight of two days ago: the first day is folded meanwhile.
START_MS = (SystemClock().now_ms() // DAY_MS - 2) * DAY_MS - 900 * MINUTE_MS


def contracts(symbol: str, minute: int) -> str:
    return f"{1000 * SYMBOLS.index(symbol) + minute}.25"


async def land(redis: Redis, minute: int) -> None:
    for second in (3, 33):  # of each minute the first is kept
        at_ms = START_MS + minute * MINUTE_MS + second * 1000
        rows = {s: reading(s, contracts(s, minute + second // 33 * 7), received_ms=at_ms) for s in SYMBOLS}
        await redis.xadd(SWEEPS, {"sweep": encode_sweep(Sweep(f"{at_ms}", at_ms, at_ms, rows, {}))})
        await asyncio.sleep(0.004)  # so that it is always at work on one


async def all_acknowledged(redis: Redis) -> bool:
    groups = await redis.xinfo_groups(SWEEPS)
    return [(group["pending"], group["lag"]) for group in groups] == [(0, 0)]


async def test_fifty_kills_lose_no_minute(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    path, draw = tmp_path / "history.db", random.Random()
    env = {"REDIS_URL": redis_url, "HISTORY_PATH": str(path), "HISTORY_BACKFILL": "off", "METRICS_PORT": "0"}
    keeper = Child("oi_keeper", [sys.executable, "-m", "services.oi_keeper"], env, tmp_path)
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {s: Member(s, Decimal(5), START_MS, START_MS, 5) for s in SYMBOLS})
    try:
        for kill in range(KILLS):
            keeper.start()
            await eventually(lambda opened=kill + 1: keeper.log.read_text().count("file opened") == opened)
            for minute in range(kill * MINUTES_EACH, (kill + 1) * MINUTES_EACH):
                await land(redis, minute)
            await asyncio.sleep(draw.uniform(0.0, 0.01))
            assert keeper.status() is None, keeper.tail()
            keeper.kill()
        assert integrity(str(path)) == []
        keeper.start()
        await eventually(lambda: all_acknowledged(redis), within_s=120)  # most of them may wait until now
        await land(redis, KILLS * MINUTES_EACH)  # behind which nothing waits: a day that is over is folded now at last
        await eventually(lambda: all_acknowledged(redis))
    finally:
        keeper.stop()

    assert integrity(str(path)) == []
    with contextlib.closing(open_to_read(str(path))) as db:
        assert db.execute("SELECT count(*) FROM day").fetchone()[0] > 0, "a day was folded"
        for symbol in SYMBOLS:
            ((number, _),) = series_of(db, symbol)
            assert rows_of(db, number, 0, 10**14) == [
                Row(START_MS + minute * MINUTE_MS + 3000, contracts(symbol, minute), "93041.35202399")
                for minute in range(KILLS * MINUTES_EACH + 1)
            ]
