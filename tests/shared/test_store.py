"""The meeting place: what one service writes, another reads back, and a bad row costs only itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.errors import Transient, WireError
from shared.model import Member, Sweep
from shared.store import CONTRACTS, MARKS, UNIVERSE, VOLUMES, Stored, redis_faults, replace_hash, round_trip
from shared.sweeplog import RETENTION_MS, SweepReader, append, trim
from tests.builders import NOW_MS, mark, reading, sweep, volume
from tests.redis_servers import ScriptedRedis


@pytest.fixture
async def client(own_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    connected = store.connect(own_redis.url)
    yield connected
    await connected.aclose()


def unheard(error: WireError) -> None:
    raise AssertionError(f"a bad row where there was none: {error}")


async def land(redis: Redis, *sweeps: Sweep) -> None:
    async with round_trip(redis) as pipe:
        for one in sweeps:
            append(pipe, one)


async def test_what_is_written_comes_back_and_reads_well_at_night(redis: Redis) -> None:
    """The operator debugs with redis-cli: one readable line, decimal text kept."""
    chinese = mark("币安人生USDT", "0.47620000", funding_rate=None)
    written: dict[Stored[Any], dict[str, Any]] = {
        MARKS: {"BTCUSDT": mark("BTCUSDT", "93041.35202399"), "币安人生USDT": chinese},
        VOLUMES: {"BTCUSDT": volume()},
        CONTRACTS: {"BTCUSDT": reading(), "ETHUSDT": reading("ETHUSDT", "0.10", price=None)},
        UNIVERSE: {"BTCUSDT": Member("BTCUSDT", Decimal("5000000.10"), NOW_MS, NOW_MS + 1, 0)},
    }
    async with round_trip(redis) as pipe:
        for stored, items in written.items():
            stored.put(pipe, items)

    for stored, items in written.items():
        assert await stored.all(redis, unheard) == items
    assert {key async for key in redis.scan_iter("*")} == {b"oi:mark", b"oi:volume", b"oi:contracts", b"oi:universe"}
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


async def test_only_what_is_wanted_is_decoded(redis: Redis) -> None:
    """A sweep wants a third of the marks; a bad row among the others is somebody else's to name."""
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {"BTCUSDT": mark(), "ETHUSDT": mark("ETHUSDT")})
        pipe.hset(MARKS.key, "BADUSDT", "{}")

    assert await MARKS.all(redis, pytest.fail, only={"BTCUSDT", "GONEUSDT"}) == {"BTCUSDT": mark()}


async def test_writing_and_dropping_nothing_is_no_error(redis: Redis) -> None:
    """HSET and HDEL without a field are errors in Redis; a quiet second is none here."""
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {})
        MARKS.drop(pipe, [])
        replace_hash(pipe, "oi:left_out", {})

    assert await MARKS.all(redis, unheard) == {}


async def test_a_dropped_symbol_is_gone_and_the_others_stay(redis: Redis) -> None:
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, {name: mark(name) for name in ("BTCUSDT", "ETHUSDT", "币安人生USDT")})
    async with round_trip(redis) as pipe:
        MARKS.drop(pipe, ["ETHUSDT", "NEVERUSDT"])

    assert await MARKS.symbols(redis) == set(await MARKS.all(redis, unheard)) == {"BTCUSDT", "币安人生USDT"}


async def test_writes_share_one_trip_and_none_is_made_for_a_failed_block(redis: Redis) -> None:
    """What was queued before a fault in the caller's own code must not be half written."""

    async def buggy() -> None:
        async with round_trip(redis) as pipe:
            MARKS.put(pipe, {"BTCUSDT": mark()})
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        await buggy()
    assert await redis.exists("oi:mark") == 0


async def test_a_replaced_hash_holds_only_the_new(redis: Redis) -> None:
    """A symbol left out yesterday must not look left out today."""
    async with round_trip(redis) as pipe:
        replace_hash(pipe, "oi:left_out", {"BTCUSDT": "stale_mark", "ETHUSDT": "no_mark"})
    async with round_trip(redis) as pipe:
        replace_hash(pipe, "oi:left_out", {"ETHUSDT": "zero_oi"})

    assert await redis.hgetall("oi:left_out") == {b"ETHUSDT": b"zero_oi"}


async def test_a_sweep_waits_in_each_group_until_it_is_acknowledged_there(redis: Redis) -> None:
    """The outbox: what a crashed reader took and did not finish is handed out again; and the alerter's reading takes
    nothing away from the publisher.
    """
    first, second = sweep(reading(), ended_ms=NOW_MS), sweep(reading(), ended_ms=NOW_MS + 1)
    await land(redis, first, second)

    taken = await SweepReader(redis, "publisher", "one").wait(10)
    again = SweepReader(redis, "publisher", "one")
    await again.acknowledge(taken[0].entry_id)

    assert [e.sweep for e in taken] == [first, second]
    assert [e.sweep for e in await again.unacknowledged(10)] == [second]
    assert await again.wait(10, block_ms=10) == []
    assert [e.sweep for e in await SweepReader(redis, "alerter", "one").wait(10)] == [first, second]


async def test_a_reader_survives_an_emptied_redis(redis: Redis) -> None:
    reader = SweepReader(redis, "publisher", "one")
    await reader.ensure_group()
    await redis.flushall()

    await land(redis, sweep(reading()))

    assert len(await reader.wait(10, block_ms=10)) == 1


async def test_a_blob_nobody_can_read_is_named_and_keeps_its_id(redis: Redis) -> None:
    await redis.xadd("oi:sweeps", {"sweep": b"\xc1"})
    await redis.xadd("oi:sweeps", {"other": b"x"})

    entries = await SweepReader(redis, "publisher", "one").wait(10)

    assert [e.sweep.reason for e in entries if isinstance(e.sweep, WireError)] == ["stored_sweep", "trimmed_sweep"]


async def test_a_reader_wakes_when_a_sweep_lands(redis: Redis) -> None:
    """A sweep a second old is published now, not at the next look."""
    reader = SweepReader(redis, "publisher", "one")
    assert await reader.wait(10, block_ms=1) == []
    waiting = asyncio.create_task(reader.wait(10, block_ms=60_000))
    await asyncio.sleep(0)

    await land(redis, sweep(reading()))

    async with asyncio.timeout(20):
        assert len(await waiting) == 1


async def test_sweeps_come_oldest_first_and_no_more_than_asked_for(redis: Redis) -> None:
    items = [sweep(reading(), ended_ms=NOW_MS + i) for i in range(5)]
    await land(redis, *items)
    reader = SweepReader(redis, "publisher", "one")

    first, second, third = await reader.wait(2), await reader.wait(2), await reader.wait(2)

    assert [e.sweep for e in first + second + third] == items
    assert [len(first), len(second), len(third)] == [2, 2, 1]


async def test_history_is_kept_three_hours_and_not_for_ever(redis: Redis) -> None:
    """The stream would fill the memory in a week, and Redis would then refuse the marks as well."""
    now_ms = int(time.time() * 1000)  # entry ids are Redis's own time
    async with round_trip(redis) as pipe:
        for i in range(300):
            pipe.xadd("oi:sweeps", {"sweep": b"old"}, id=f"{now_ms - RETENTION_MS - 60_000}-{i + 1}")
        pipe.xadd("oi:sweeps", {"sweep": b"kept"}, id=f"{now_ms - RETENTION_MS + 60_000}-1")

    async with round_trip(redis) as pipe:
        trim(pipe, now_ms, 10_000)

    blobs = [fields[b"sweep"] for _, fields in await redis.xrange("oi:sweeps")]
    assert blobs.count(b"old") <= 100  # whole nodes of a hundred go; one that is half old may stay
    assert b"kept" in blobs


async def test_history_is_bounded_where_clocks_were_set(redis: Redis) -> None:
    """Ids of a clock that was ahead are never old: without a bound they would fill the memory."""
    async with round_trip(redis) as pipe:
        for n in range(300):
            pipe.xadd("oi:sweeps", {"sweep": b"ahead"}, id=f"{NOW_MS + 86_400_000}-{n + 1}")
        trim(pipe, NOW_MS, 100)

    assert await redis.xlen("oi:sweeps") <= 200


async def test_what_was_trimmed_while_it_waited_is_named_and_can_be_acknowledged(redis: Redis) -> None:
    """A reader that was away for longer than the history must get past the hole, not stumble over it for ever."""
    await land(redis, sweep(reading()))
    reader = SweepReader(redis, "publisher", "one")
    (taken,) = await reader.wait(10)
    await redis.xtrim("oi:sweeps", maxlen=0, approximate=False)

    (again,) = await reader.unacknowledged(10)
    await reader.acknowledge(again.entry_id)

    assert again.entry_id == taken.entry_id
    assert isinstance(again.sweep, WireError)
    assert again.sweep.reason == "trimmed_sweep"
    assert await reader.unacknowledged(10) == []


async def test_a_row_that_cannot_be_encoded_costs_only_itself(redis: Redis) -> None:
    members = {name: Member(name, Decimal(1), ms, ms, 1) for name, ms in (("BTCUSDT", NOW_MS), ("ETHUSDT", 10**30))}
    bad: list[WireError] = []

    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, members, bad.append)

    assert await UNIVERSE.all(redis, unheard) == {"BTCUSDT": members["BTCUSDT"]}
    assert [e.reason for e in bad] == ["unwritable"]
    with pytest.raises(WireError, match="oi:universe ETHUSDT"):
        UNIVERSE.put(pipe, members)


# -- faults ---------------------------------------------------------------------------------------------------------


async def test_redis_away_is_asked_for_once_and_used_again_when_it_is_back(
    own_redis: EmbeddedRedis, client: Redis
) -> None:
    """Retries of the client's own would turn a second into a quarter of a minute, and the page would stand still. A
    dead connection in the pool must cost no more than the fault it comes from.
    """
    await client.ping()
    own_redis.kill()
    async with ScriptedRedis({}, otherwise=b"", port=own_redis.port) as hangs_up:
        for _ in range(2):  # the first may fail on the connection of before
            with pytest.raises(Transient, match="Redis"):
                await MARKS.all(client, unheard)
        assert 1 <= hangs_up.connections <= 2
    own_redis.start()

    assert await MARKS.all(client, unheard) == {}


async def test_a_redis_that_answers_nothing_costs_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wedged server accepts and is silent; without a limit every service would hang with it."""
    monkeypatch.setattr(store, "REPLY_TIMEOUT_S", 0.2)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = store.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Transient, match="Redis: TimeoutError"):
            await MARKS.all(client, unheard)
        await client.aclose()

        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was not asked a second time
            silent.accept()


async def test_a_full_redis_is_transient(own_redis: EmbeddedRedis, client: Redis) -> None:
    await client.config_set("maxmemory", "1")

    with pytest.raises(Transient, match="OutOfMemoryError"):
        async with round_trip(client) as pipe:
            MARKS.put(pipe, {"BTCUSDT": mark()})


async def test_a_key_of_another_kind_is_transient(redis: Redis) -> None:
    """Somebody's SET on our key is for a person to mend; the service says so and lives."""
    await redis.set("oi:mark", "x")

    with pytest.raises(Transient, match="WRONGTYPE"):
        await MARKS.all(redis, unheard)


@pytest.mark.parametrize("connected", [True, False])
async def test_a_cancellation_is_never_lost_on_the_way_to_redis(redis: Redis, connected: bool) -> None:
    """A job that survives its cancellation keeps the process alive through SIGTERM, until it is killed."""

    async def ask() -> None:
        async with redis_faults():
            await redis.get("oi:ban")

    lost = 0
    for turns in range(40):  # of the event loop, so that the cancellation meets every await on the way
        if not connected:
            await redis.connection_pool.disconnect()
        asking = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        if asking.cancel():
            lost += not isinstance(*await asyncio.gather(asking, return_exceptions=True), asyncio.CancelledError)

    assert lost == 0


async def test_a_deadline_over_redis_is_kept(redis: Redis) -> None:
    """A deadline is a cancellation too; one that is lost lets a sweep run into the next."""

    async def wait() -> None:
        async with asyncio.timeout(0.05), redis_faults():
            await redis.blpop(["oi:never"], timeout=1)

    with pytest.raises(TimeoutError):
        await wait()
