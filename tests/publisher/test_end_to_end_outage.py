"""The backend, Redis or the publisher itself goes away while sweeps go on: nothing is lost, and order is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.codec import encode_sweep
from tests.builders import reading, sweep
from tests.publisher.harness import Publisher, now_ms
from tests.publisher.seen import Make
from tests.waiting import eventually


@asynccontextmanager
async def sweeps(one: Publisher, every_s: float) -> AsyncIterator[None]:
    """Sweeps land for as long as the block lasts."""
    landing = asyncio.create_task(one.poller.keep_landing(every_s))
    try:
        yield
    finally:
        landing.cancel()
        await asyncio.gather(landing, return_exceptions=True)


async def until_landed(one: Publisher, count: int, within_s: float) -> None:
    goal = len(one.poller.landed) + count
    await eventually(lambda: len(one.poller.landed) >= goal, within_s)


async def prove_outage(one: Publisher, every_s: float, away_s: int) -> None:
    """Every sweep arrives once, in order, with its own timestamp and values, and then the cycle is verified."""
    await one.start()
    async with sweeps(one, every_s):
        await until_landed(one, 2, within_s=4 * every_s + 5)
        one.stand_in.control(away=away_s)
        await until_landed(one, int(away_s / every_s) + 3, within_s=2 * away_s + 20)
    await one.until_delivered(within_s=30)

    assert one.stored() == one.poller.timestamps()
    assert one.stand_in.control()["rows"]["repeated"] == 0
    assert_rows_are_right(one)
    assert (await one.until_verdict("VERIFIED"))["status"] == 200
    assert await one.metric("pipeline_backlog_sweeps") == 0


def assert_rows_are_right(one: Publisher, symbol: str = "S005USDT") -> None:
    """Each sweep stands in the database with its own open interest, and a price of its own time or fresher."""
    landed = {each.ended_ms: each.readings[symbol] for each in one.poller.landed}
    rows = one.stand_in.rows(symbol)
    assert {row["timestamp"] for row in rows} == landed.keys()
    for row in rows:
        prices = [float(each.mark_price) for ms, each in landed.items() if ms >= row["timestamp"] and each.mark_price]
        assert row["openInterest"] == float(landed[row["timestamp"]].open_interest.open_interest)
        assert row["markPrice"] in prices
        assert row["openInterestUsd"] == pytest.approx(row["openInterest"] * row["markPrice"], rel=1e-12)


async def test_what_landed_while_the_backend_was_away_arrives_once_and_in_order(publisher: Make) -> None:
    await prove_outage(publisher(), every_s=0.3, away_s=4)


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_minute_without_the_backend_at_the_real_pace(publisher: Make) -> None:
    await prove_outage(publisher(BACKEND_RETRY_MAX_SEC="15", BACKEND_TIMEOUT_SEC="30"), every_s=5, away_s=60)


@pytest.mark.long
async def test_a_post_of_ten_seconds_is_waited_for(publisher: Make) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="30")
    await one.start()
    one.stand_in.control(fault={"kind": "slow", "delay": 10, "times": 1})

    await one.poller.land()
    await one.until_verdict("VERIFIED", within_s=20)

    assert len(one.batches()) == 1


async def test_a_long_backlog_comes_in_bursts_that_end_with_the_live_sweep(publisher: Make) -> None:
    """A dashboard must not show an hour-old market for as long as the backlog lasts."""
    one = publisher(own=True)
    one.stand_in.control(rowDelayMs=10)  # 20 rows: 0.2 s a POST
    await one.start()
    one.child.kill()
    for _ in range(40):
        await one.poller.land()
    live_from_ms = now_ms()

    one.child.start()
    await one.until(lambda: one.stored()[-1:] == one.poller.timestamps()[-1:], within_s=15)
    first_live_ms = one.batches()[-1]["receivedAt"]
    delivered = len(one.stored())
    while len(one.stored()) < len(one.poller.landed):
        await one.poller.land()  # each live sweep carries some of the rest before it
        await one.until(lambda: one.stored()[-1:] == one.poller.timestamps()[-1:])

    assert delivered < 40
    assert first_live_ms - live_from_ms < 8000  # a burst of 5 s, one POST, and the start of the process
    assert one.stored()[: delivered - 1] == one.poller.timestamps()[: delivered - 1]
    assert sorted(one.stored()) == one.poller.timestamps()
    assert one.stand_in.control()["rows"]["repeated"] == 0


async def test_a_publisher_killed_at_random_loses_no_sweep_and_no_value(publisher: Make) -> None:
    """kill -9 twenty times under load: at least once, counted when twice, and never a wrong number."""
    one = publisher(own=True)
    one.stand_in.control(rowDelayMs=3)  # a POST lasts long enough to be cut in two
    dice = random.Random(11)
    await one.start()
    async with sweeps(one, 0.25):
        for _ in range(20):
            await asyncio.sleep(dice.uniform(0.0, 1.0))  # the random instant is the point
            one.child.kill()
            one.child.start()
    await one.poller.land()  # what landed before may have been acknowledged by a process that is gone
    await one.until_verdict("VERIFIED", within_s=30)
    await one.until_delivered()

    assert_rows_are_right(one)
    repeated = sum(1 for batch in one.batches() if batch["repeated"])
    assert repeated <= await one.metric("pipeline_duplicate_posts_total")


async def test_an_emptied_redis_is_taken_up_again(publisher: Make) -> None:
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    await one.redis.flushdb()
    await one.poller.land()

    await one.until_verdict("VERIFIED")


async def test_a_first_start_leaves_history_alone(publisher: Make) -> None:
    """Three hours of sweeps are no backlog of a publisher that never was: only the newest is delivered."""
    one = publisher(own=True)
    for _ in range(5):
        await one.poller.land()
    await one.start()

    await one.until_verdict("VERIFIED")

    assert one.stored() == one.poller.timestamps()[-1:]


async def test_what_was_trimmed_before_anybody_took_it_is_counted_and_named(publisher: Make) -> None:
    one = publisher(own=True)
    await one.start()
    await one.poller.land()
    await one.until_delivered()
    one.child.kill()
    for _ in range(6):
        await one.poller.land()
    await one.redis.xtrim("oi:sweeps", maxlen=2, approximate=False)

    await one.start()
    await one.until_delivered()

    assert await one.metric('pipeline_lost_sweeps_total{cause="retention"}') == 4
    assert "sweeps lost count=4 cause=retention first=" in one.log()


async def test_what_was_trimmed_while_it_waited_is_counted_and_named(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(fault={"kind": "status", "status": 503})
    await one.start()
    for _ in range(4):
        await one.poller.land()

    async def all_taken() -> bool:
        return (await one.redis.xpending("oi:sweeps", "publisher"))["pending"] == 4

    await one.until(all_taken)
    await one.redis.xtrim("oi:sweeps", maxlen=1, approximate=False)
    one.stand_in.control(faults=[])
    await one.until_delivered()

    assert await one.metric('pipeline_lost_sweeps_total{cause="retention"}') == 3
    assert one.stored() == one.poller.timestamps()[-1:]


async def test_a_sweep_nobody_can_read_costs_only_itself(publisher: Make) -> None:
    one = publisher(own=True)
    await one.start()
    await one.redis.xadd("oi:sweeps", {"sweep": b"\xc1"})
    await one.redis.xadd("oi:sweeps", {"sweep": encode_sweep(sweep(reading(), ended_ms=10**18))})
    await one.poller.land()

    await one.until_verdict("VERIFIED")

    assert await one.metric('pipeline_lost_sweeps_total{cause="unreadable"}') == 2


async def test_a_batch_the_backend_refuses_for_good_does_not_hold_up_the_rest(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(fault={"kind": "status", "status": 400, "times": 3})
    await one.start()
    await one.poller.land()
    await one.until(lambda: len(one.batches()) >= 3)
    await one.poller.land()

    await one.until_verdict("VERIFIED")

    assert await one.metric('pipeline_lost_sweeps_total{cause="refused"}') == 1
    assert one.stored() == one.poller.timestamps()[1:]


async def test_a_silent_poller_is_named(publisher: Make) -> None:
    """Alive and not doing its job: the health says whose fault it is."""
    one = publisher(own=True, VERIFIED_MAX_AGE_SEC="1")
    await one.start()

    async def blamed() -> bool:
        health = await one.health()
        return health["status"] == 503 and "oi_poller" in health["detail"]

    await one.until(blamed)
