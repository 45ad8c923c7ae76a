"""The meeting place: what one service writes, another reads back, and a bad row costs only itself."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.errors import Transient, WireError
from shared.store import MARKS, VOLUMES, round_trip
from shared.sweeplog import SweepReader, append
from tests.builders import NOW_MS, mark, reading, sweep, volume


async def test_marks_come_back_as_written_and_read_well_at_night(redis: Redis) -> None:
    """The operator debugs with redis-cli: one readable line, decimal text kept."""
    btc = mark("BTCUSDT", "93041.35202399")
    chinese = mark("币安人生USDT", "0.47620000", funding_rate=None)
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {m.symbol: m for m in (btc, chinese)})
        VOLUMES.put(pipe, {"BTCUSDT": volume()})

    bad: list[WireError] = []
    assert await MARKS.all(redis, bad.append) == {"BTCUSDT": btc, "币安人生USDT": chinese}
    assert bad == []
    line = (await redis.hget("oi:mark", "BTCUSDT")).decode()
    assert line.startswith('{"mark":"93041.35202399","index":"93010.00000000","funding":"0.00010000","next":')
    assert "\n" not in line


async def test_a_bad_row_costs_only_itself(redis: Redis) -> None:
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {"BTCUSDT": mark()})
        pipe.hset("oi:mark", mapping={"BADUSDT": b"{", "NANUSDT": b'{"mark":"NaN"}', b"\xff": b"{}"})

    bad: list[WireError] = []
    marks = await MARKS.all(redis, bad.append)

    assert set(marks) == {"BTCUSDT"}
    assert sorted(e.reason for e in bad) == ["stored_mark", "stored_mark", "stored_symbol"]


async def test_a_sweep_waits_until_it_is_acknowledged(redis: Redis) -> None:
    """The outbox: what a crashed reader took and did not finish is handed out again."""
    first, second = sweep(reading(), ended_ms=NOW_MS), sweep(reading(), ended_ms=NOW_MS + 1)
    async with round_trip(redis) as pipe:
        append(pipe, first, NOW_MS)
        append(pipe, second, NOW_MS)
    reader = SweepReader(redis, "publisher", "one")

    taken = await reader.wait(10)
    await reader.acknowledge(taken[0].entry_id)
    again = await SweepReader(redis, "publisher", "one").unacknowledged(10)

    assert [e.sweep for e in taken] == [first, second]
    assert [e.sweep for e in again] == [second]


async def test_a_reader_survives_an_emptied_redis(redis: Redis) -> None:
    reader = SweepReader(redis, "publisher", "one")
    await reader.ensure_group()
    await redis.flushall()

    async with round_trip(redis) as pipe:
        append(pipe, sweep(reading()), NOW_MS)

    assert len(await reader.wait(10, block_ms=10)) == 1


async def test_a_blob_nobody_can_read_is_named_and_keeps_its_id(redis: Redis) -> None:
    await redis.xadd("oi:sweeps", {"sweep": b"\xc1"})
    await redis.xadd("oi:sweeps", {"other": b"x"})

    entries = await SweepReader(redis, "publisher", "one").wait(10)

    assert [e.sweep.reason for e in entries if isinstance(e.sweep, WireError)] == ["stored_sweep", "trimmed_sweep"]


async def test_redis_away_is_said_at_once() -> None:
    server = EmbeddedRedis()
    client = store.connect(server.url)
    await client.ping()
    server.kill()

    with pytest.raises(Transient, match="Redis"):
        await MARKS.all(client, lambda _: None)

    await client.aclose()
    server.close()
