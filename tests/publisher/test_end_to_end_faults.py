"""The real publisher against the real Node stand-in: one fault of a POST at a time, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.publisher.harness import Publisher
from tests.publisher.seen import SYMBOLS, Make, stored_twice

TRANSIENT = [
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "status", "status": 502, "times": 2},
    {"kind": "status", "status": 503, "times": 1},
    {"kind": "status", "status": 401, "times": 2},
    {"kind": "html", "times": 1},
    {"kind": "garbage", "times": 1},
    {"kind": "hang", "times": 1},
    {"kind": "reset-reading", "times": 1},
]
PROCESSED = [
    {"kind": "processed-then-status", "status": 500, "times": 1},
    {"kind": "processed-then-status", "status": 504, "times": 1},
    {"kind": "processed-then-hang", "times": 1},
    {"kind": "reset-answering", "times": 1},
    {"kind": "slow", "delay": 1.8, "times": 1},
]


def named(fault: dict[str, Any]) -> str:
    return f"{fault['kind']}-{fault.get('status', '')}".strip("-")


async def through(publisher: Make, fault: dict[str, Any]) -> Publisher:
    """A sweep before the fault and three after it began; all of them delivered, each once."""
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")
    one.stand_in.control(fault=fault)
    for _ in range(3):
        await one.poller.land()
    await one.until_delivered()
    assert one.stored() == one.poller.timestamps()
    assert stored_twice(one) == 0
    return one


@pytest.mark.parametrize("fault", TRANSIENT, ids=named)
async def test_a_post_that_was_not_taken_is_repeated(publisher: Make, fault: dict[str, Any]) -> None:
    one = await through(publisher, fault)
    assert (await one.until_verdict("VERIFIED"))["status"] == 200


@pytest.mark.parametrize("fault", PROCESSED, ids=named)
async def test_a_post_that_was_taken_is_found_and_not_repeated(publisher: Make, fault: dict[str, Any]) -> None:
    """Each repetition would be 343 rows twice in the backend's database."""
    one = await through(publisher, fault)
    assert len(one.batches()) == 4
    assert await one.counted("pipeline_duplicate_posts_total") == 0


async def test_a_slow_backend_is_waited_for(publisher: Make) -> None:
    one = publisher(BACKEND_TIMEOUT_SEC="5")
    one.stand_in.control(fault={"kind": "slow", "delay": 1.5, "times": 1})
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert len(one.batches()) == 1


async def test_retry_after_is_obeyed(publisher: Make) -> None:
    one = publisher()
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    one.stand_in.control(fault={"kind": "status", "status": 429, "retryAfter": 2, "times": 1})
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    first, refused, then = one.batches()
    assert (first["status"], refused["status"], then["status"]) == (200, 429, 200)
    assert then["receivedAt"] - refused["receivedAt"] >= 2000


async def test_a_refused_key_is_said_once_and_names_what_to_check(publisher: Make) -> None:
    one = publisher(BACKEND_API_KEY="not-the-key-at-all")
    await one.start()
    await one.poller.land()

    await one.until(lambda: len(one.batches()) >= 4)
    health = await one.health()

    assert one.log().count("BACKEND_API_KEY") == 1
    assert (health["status"], "BACKEND_API_KEY" in health["detail"]) == (503, True)


async def test_accepted_and_lost_is_posted_again(publisher: Make) -> None:
    one = publisher()
    one.stand_in.control(fault={"kind": "lost", "times": 1})
    await one.start()

    await one.poller.land()
    await one.until_verdict("VERIFIED")

    assert [batch["stored"] for batch in one.batches()] == [0, SYMBOLS]


async def test_accepted_and_lost_is_not_posted_for_ever(publisher: Make) -> None:
    one = publisher(own=True)
    one.stand_in.control(fault={"kind": "lost"})
    await one.start()

    for _ in range(3):
        await one.poller.land()
        health = await one.until_verdict("PARTIAL", within_s=20)

    assert len(one.batches()) == 3 + 3  # three sweeps, and three repetitions in all
    assert health["status"] == 503
    assert "20 not served" in health["detail"]
    assert await one.counted("pipeline_duplicate_posts_total") == 3


async def test_the_key_is_nowhere_to_be_seen(publisher: Make) -> None:
    one = publisher(own=True)
    faults = [{"kind": "redirect", "location": "/elsewhere", "times": 1}, {"kind": "hang", "times": 1}]
    one.stand_in.control(faults=faults)
    await one.start()
    await one.poller.land()
    await one.until_verdict("VERIFIED")

    hashes = ("oi:publisher", "oi:served", "oi:left_out", "oi:status:publisher")
    redis = [await one.redis.hgetall(key) for key in hashes]
    assert "redirect" in one.log()
    for place in (one.log(), str(await one.health()), await one.text("/metrics"), str(redis)):
        assert one.KEY not in place


async def test_the_process_list_does_not_show_the_key(publisher: Make) -> None:
    one = publisher()
    await one.start()

    assert one.KEY not in Path(f"/proc/{one.pid}/cmdline").read_bytes().decode()


async def test_the_universe_and_the_alerts_arrive_once_and_in_order(publisher: Make) -> None:
    """What becomes of them in trouble is tested where the time can be steered: test_universe.py, test_alerts.py."""
    one = publisher()
    await one.start()
    await one.poller.land()

    for n in range(4):
        await one.poller.alert(n)
    await one.until(lambda: len(one.alerts()) >= 4)
    await one.until(lambda: len(one.universe()) == SYMBOLS)

    assert [alert["baseline"] for alert in one.alerts()] == [1000.0, 1001.0, 1002.0, 1003.0]
    assert one.universe()["S000USDT"]["enteredAt"].endswith("Z")
