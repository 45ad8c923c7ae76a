"""The real publisher process against the real Node stand-in: what only processes show.

What becomes of each fault is tested where time can be steered: test_delivery.py, test_redis_loses.py,
test_batch.py, test_universe.py, test_alerts.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.publisher.harness import Publisher

Make = Callable[..., Publisher]


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
async def test_a_post_is_given_as_long_as_was_set(publisher: Make) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="30")
    await one.start()
    one.stand_in.control(fault={"kind": "slow", "delay": 10, "times": 1})

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert len(one.batches()) == 1


async def test_a_publisher_killed_at_random_loses_no_sweep_and_no_value(publisher: Make) -> None:
    """kill -9 twenty times under load: at least once, counted when twice, and never a wrong number."""
    one = publisher()
    one.stand_in.control(rowDelayMs=2)  # a POST lasts long enough to be cut in two
    dice = random.Random(11)
    await one.start()
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(one.poller.keep_landing(0.5))
        for _ in range(20):
            await asyncio.sleep(dice.uniform(0.0, 0.5))  # the random instant is the point
            one.child.kill()
            one.child.start()
        one.poller.at_work = False
    await one.until_delivered()

    assert_rows_are_right(one)
    repeated = sum(1 for batch in one.batches() if batch["repeated"])
    assert repeated <= int(await one.redis.hget("oi:publisher", "duplicates") or 0)


async def test_a_second_publisher_stands_by_and_takes_over(publisher: Make) -> None:
    """Two on one Redis shared one consumer, and could post the same sweep."""
    one, other = publisher(), publisher()
    await one.start()
    other.child.start()

    async def standing_by() -> bool:
        health = await other.health()
        return health.get("status") == 200 and health["detail"].startswith("standby; ")

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
