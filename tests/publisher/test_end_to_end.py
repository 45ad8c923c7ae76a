"""The real publisher process against the real Node stand-in: what only processes show.

What becomes of each fault is tested where time can be steered: test_delivery.py, test_redis_loses.py,
test_batch.py, test_universe.py, test_alerts.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.publisher.harness import Publisher
from tests.waiting import eventually

Make = Callable[..., Publisher]


@asynccontextmanager
async def sweeps(one: Publisher, every_s: float) -> AsyncIterator[None]:
    """Sweeps land for as long as the block lasts."""
    landing = asyncio.create_task(one.poller.keep_landing(every_s))
    try:
        yield
    finally:
        landing.cancel()
        await asyncio.gather(landing, return_exceptions=True)


async def until_landed(one: Publisher, count: int) -> None:
    goal = len(one.poller.landed) + count
    await eventually(lambda: len(one.poller.landed) >= goal, within_s=150)


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


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_minute_without_the_backend_at_the_real_pace(publisher: Make) -> None:
    """Every sweep arrives once, in order, with its own timestamp and values, and then the cycle is verified."""
    one = publisher(BACKEND_RETRY_MAX_SEC="15", BACKEND_TIMEOUT_SEC="30")
    await one.start()
    async with sweeps(one, every_s=5):
        await until_landed(one, 2)
        one.stand_in.control(away=60)
        await until_landed(one, 15)
    await one.until_delivered()

    assert sorted(one.stored()) == one.poller.timestamps()
    assert one.stand_in.control()["rows"]["repeated"] == 0
    assert_rows_are_right(one)
    assert (await one.until_verdict("VERIFIED"))["status"] == 200


@pytest.mark.long
async def test_a_post_of_ten_seconds_is_waited_for(publisher: Make) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="30")
    await one.start()
    one.stand_in.control(fault={"kind": "slow", "delay": 10, "times": 1})

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert len(one.batches()) == 1


async def test_a_publisher_killed_at_random_loses_no_sweep_and_no_value(publisher: Make) -> None:
    """kill -9 twenty times under load: at least once, counted when twice, and never a wrong number."""
    one = publisher()
    one.poller.apart_ms = 10_000  # or a busy machine is a backend slower than the sweeps, for which some are thinned
    one.stand_in.control(rowDelayMs=2)  # a POST lasts long enough to be cut in two
    dice = random.Random(11)
    await one.start()
    async with sweeps(one, 0.5):
        for _ in range(20):
            await asyncio.sleep(dice.uniform(0.0, 0.5))  # the random instant is the point
            one.child.kill()
            one.child.start()
    await one.until_delivered()

    assert_rows_are_right(one)
    repeated = sum(1 for batch in one.batches() if batch["repeated"])
    assert repeated <= await one.metric("pipeline_duplicate_posts_total")


async def test_a_second_publisher_stands_by_and_takes_over(publisher: Make) -> None:
    """Two on one Redis shared one consumer, and could post the same sweep."""
    one, other = publisher(), publisher()
    await one.start()
    other.child.start()

    async def standing_by() -> bool:
        health = await other.health_or_none()
        return bool(health) and health["status"] == 200 and health["detail"].startswith("standby; ")

    await other.until(standing_by)
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    async def beats() -> bool:
        return bool(await one.redis.hget("oi:status:publisher", "pid") == str(one.pid).encode())

    await one.until(beats)

    one.child.kill()
    sweep = await one.poller.land()
    other.poller.landed.append(sweep)
    await other.until_verdict("VERIFIED")

    assert one.stored() == one.poller.timestamps()
    assert one.stand_in.control()["rows"]["repeated"] == 0
