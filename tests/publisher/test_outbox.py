"""What is remembered across a kill, in a real Redis database that no publisher process looks at."""

from __future__ import annotations

import msgspec
import pytest
from redis.asyncio import Redis

from services.publisher.attempt import Attempt
from services.publisher.audit import Served
from services.publisher.outbox import Outbox
from shared.store import round_trip
from shared.sweeplog import append, entry_order
from tests.builders import NOW_MS, reading, sweep


def attempt(entry_id: str = "1-0") -> Attempt:
    return Attempt(entry_id, "s", NOW_MS, NOW_MS, 1.0, None, {"A": 1.5}, ["B"], {"C-D": "stale_mark"}, ["E"])


async def land(redis: Redis, count: int) -> None:
    for n in range(count):
        async with round_trip(redis) as pipe:
            append(pipe, sweep(reading(), ended_ms=NOW_MS + n))


async def test_an_attempt_is_there_after_a_kill_and_gone_after_its_end(own_redis: Redis) -> None:
    await land(own_redis, 1)
    pending = await Outbox(own_redis).collect(block=False)
    await Outbox(own_redis).begin(attempt(pending.newest_id), again=False)

    assert (await Outbox(own_redis).recall()).attempt == attempt(pending.newest_id)

    await Outbox(own_redis).finish(pending.newest_id, 0.25)
    kept = await Outbox(own_redis).recall()
    assert (kept.attempt, kept.delivered_id, kept.post_s) == (None, pending.newest_id, 0.25)
    assert (await Outbox(own_redis).collect(block=False)).sweeps == 0


async def test_a_batch_sent_again_is_counted_before_it_is_sent(own_redis: Redis) -> None:
    """A kill between the count and the POST counts one too many, never one too few."""
    outbox = Outbox(own_redis)
    await outbox.doubt("1-0")

    assert (await outbox.recall()).doubtful == {"1-0"}
    await outbox.begin(attempt(), again=True)

    assert (await outbox.recall()).duplicates == 1


async def test_delivering_an_older_sweep_does_not_move_the_newest_back(own_redis: Redis) -> None:
    outbox = Outbox(own_redis)
    await outbox.finish("9-1", 0.1)
    await outbox.finish("10-0", 0.1)
    await outbox.finish("9-2", 0.1)

    assert (await outbox.recall()).delivered_id == "10-0"
    assert entry_order("10-0") > entry_order("9-2") > entry_order("9-1")


async def test_all_that_is_new_is_taken_however_much_it_is(own_redis: Redis) -> None:
    await Outbox(own_redis).open()
    await land(own_redis, 21)
    outbox = Outbox(own_redis)

    pending = await outbox.collect(block=False)

    oldest = await outbox.oldest()
    assert pending.sweeps == 21
    assert oldest
    assert entry_order(oldest.entry_id) < entry_order(pending.newest_id)
    assert (await outbox.load(pending.newest_id)).sweep == sweep(reading(), ended_ms=NOW_MS + 20)


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "{"])
async def test_what_a_hand_wrote_there_is_learned_anew(own_redis: Redis, value: str) -> None:
    """A crash over one field would be a crash at every start."""
    names = ["attempt", "delivered", "max_rows", "max_rows_ms", "replaces", "post_s", "duplicates"]
    await own_redis.hset("oi:publisher", mapping=dict.fromkeys(names, value))
    await own_redis.hset("oi:served", mapping={"BTCUSDT": value})

    kept = await Outbox(own_redis).recall()

    assert kept.delivered_id == "0-0"
    assert (kept.attempt, kept.max_rows, kept.replaces, kept.post_s, kept.duplicates) == (None, 0, False, 0.0, 0)
    assert await Outbox(own_redis).last_served() == {}


async def test_the_report_holds_exactly_the_last_cycle(own_redis: Redis) -> None:
    outbox = Outbox(own_redis)
    await outbox.report({"A": "stale_mark"}, {"B": Served(1.5, NOW_MS, "verified"), "C": Served(None, 0, "missing")})
    await outbox.report({"D": "missing_mark"}, {"B": Served(2.5, NOW_MS, "verified")})

    assert await own_redis.hgetall("oi:left_out") == {b"D": b"missing_mark"}
    assert await outbox.last_served() == {"B": Served(2.5, NOW_MS, "verified")}
    assert msgspec.json.decode(await own_redis.hget("oi:served", "B")) == {
        "usd": 2.5,
        "since": NOW_MS,
        "verdict": "verified",
    }


def test_an_attempt_knows_the_universe_of_its_sweep() -> None:
    one = attempt()

    assert one.universe_keys() == {"A", "B", "CD", "E"}
    assert (one.published, one.universe) == (2, 4)
