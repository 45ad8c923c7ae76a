"""The real publisher process against the real Node stand-in: what only processes show.

What becomes of each fault is tested where time can be steered: test_delivery.py, test_redis_loses.py,
test_batch.py, test_universe.py, test_alerts.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dev.redis_server import free_port
from tests.pipeline.harness import Pipeline
from tests.publisher.harness import Poller
from tests.waiting import eventually


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    """The publisher with its Redis and its backend; the test lands the sweeps."""
    async with Pipeline(tmp_path, BACKEND_RETRY_MAX_SEC="0.5") as running:
        running.start("redis", "backend", "publisher")
        await eventually(lambda: running.healthz("publisher"))
        await eventually(lambda: running.redis.exists("oi:sweeps"))  # it has looked, and has nothing to do
        yield running


async def assert_rows_are_right(pipeline: Pipeline, poller: Poller, symbol: str = "S005USDT") -> None:
    """Each sweep stands in the database with its own open interest, and a price of its own time or fresher."""
    landed = {each.ended_ms: each.readings[symbol] for each in poller.landed}
    rows = (await pipeline.get("backend", f"/control/rows?symbol={symbol}"))["rows"]
    assert {row["timestamp"] for row in rows} == landed.keys()
    for row in rows:
        prices = [float(each.mark_price) for ms, each in landed.items() if ms >= row["timestamp"] and each.mark_price]
        assert row["openInterest"] == float(landed[row["timestamp"]].open_interest.open_interest)
        assert row["markPrice"] in prices
        assert row["openInterestUsd"] == pytest.approx(row["openInterest"] * row["markPrice"], rel=1e-12)


@pytest.mark.long
async def test_a_post_is_given_as_long_as_was_set(pipeline: Pipeline) -> None:
    poller = Poller(pipeline)
    await pipeline.fault("backend", {"fault": {"kind": "slow", "delay": 10, "times": 1}})
    await poller.land()
    await poller.until_verified()
    assert len(await poller.batches()) == 1


async def test_a_publisher_killed_at_random_loses_no_sweep_and_no_value(pipeline: Pipeline) -> None:
    """kill -9 ten times under load: at least once, counted when twice, and never a wrong number."""
    poller, dice = Poller(pipeline), random.Random(11)
    await pipeline.fault("backend", {"rowDelayMs": 10})  # a POST lasts long enough to be cut in two
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(poller.keep_landing(0.5))
        for _ in range(10):
            await eventually(lambda: pipeline.healthz("publisher"))
            await asyncio.sleep(dice.uniform(0.0, 0.5))  # the random instant is the point
            pipeline["publisher"].kill()
            pipeline["publisher"].start()
        poller.at_work = False
    await pipeline.fault("backend", {"rowDelayMs": 0})
    await poller.until_delivered()

    await assert_rows_are_right(pipeline, poller)
    repeated = sum(1 for batch in await poller.batches() if batch["repeated"])
    assert repeated <= int(await pipeline.redis.hget("oi:publisher", "duplicates") or 0)


async def test_a_second_publisher_stands_by_and_takes_over(pipeline: Pipeline) -> None:
    """Two on one Redis shared one consumer, and could post the same sweep."""
    pipeline.ports["other"], poller = free_port(), Poller(pipeline)
    pipeline.start_service("publisher", "other", METRICS_PORT=str(pipeline.ports["other"]))

    async def stands_by() -> bool:
        return str((await pipeline.healthz("other")).get("detail")).startswith("standby; ")

    await eventually(stands_by)
    await poller.land()
    await poller.until_verified()
    pipeline["publisher"].kill()
    await poller.land()
    await poller.until_verified("other")

    stored = [batch["timestamp"] for batch in await poller.batches() if batch["stored"]]
    assert stored == poller.timestamps()
    assert (await pipeline.get("backend", "/control"))["rows"]["repeated"] == 0
