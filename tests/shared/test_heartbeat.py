"""What a service says of itself in Redis, for as long as it says anything."""

from __future__ import annotations

import asyncio
import json
import os

from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.errors import Transient
from shared.fence import Fence
from shared.heartbeat import EVERY_S, EXPIRES_S, _forget_gone, keep_beating, tell
from shared.store import HOSTS
from tests.fakes import FakeClock, at_work, service
from tests.waiting import eventually

KEY = "oi:status:ws_daemon"


class QuickClock(FakeClock):
    """Two seconds pass in a millisecond."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0.001)


async def status(redis: Redis) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (await redis.hgetall(KEY)).items()}


def test_it_tells_what_an_operator_asks_first(clock: FakeClock) -> None:
    """State, since when, why, the last success: the answer to "what is it doing" without a log."""
    tested = service(clock, name="ws_daemon")
    assert tested.describe()["lastSuccess"] == ""
    clock.advance(60)
    tested.health.good("745 marks")
    tested.facts["marks"] = "745"
    clock.advance(2)

    assert tested.describe() == {
        "service": "ws_daemon",
        "state": "ok",
        "detail": "745 marks",
        "since": "2025-12-03T00:01:00.000Z",
        "lastSuccess": "2025-12-03T00:01:00.000Z",
        "started": "2025-12-03T00:00:00.000Z",
        "beat": "2025-12-03T00:01:02.000Z",
        "pid": str(os.getpid()),
        "host": "",
        "marks": "745",
    }
    clock.advance(4)
    assert tested.describe()["state"] == "stalled"  # its work hangs, and the heartbeat goes on


async def test_a_beat_expires_soon_after_the_last(redis: Redis, clock: FakeClock) -> None:
    """A service that was killed must not look alive in ``oi status`` next morning."""
    await tell(service(clock, redis, "ws_daemon"))

    assert (await status(redis))["state"] == "starting"
    assert 2 * EVERY_S * 1000 < await redis.pttl(KEY) <= EXPIRES_S * 1000  # one lost beat is not a death


async def test_a_standby_signs_in_beside_the_heartbeat_of_who_works(redis: Redis, clock: FakeClock) -> None:
    works, stands_by = service(clock, redis, "ws_daemon"), service(clock, redis, "ws_daemon")
    works.host, stands_by.host = "host-a", "host-b"
    stands_by.fence = Fence("ws_daemon", clock)
    await tell(works)

    await tell(stands_by)

    assert (await status(redis))["host"] == "host-a"
    assert set(await redis.hkeys(HOSTS)) == {b"host-a ws_daemon", b"host-b ws_daemon"}


async def test_a_beat_replaces_the_one_before(redis: Redis, clock: FakeClock) -> None:
    """A fact that no longer holds ("frozen: XYZUSDT") must go when the service stops saying it."""
    tested = service(clock, redis, "ws_daemon")
    tested.facts["frozen"] = "XYZUSDT"
    await tell(tested)
    del tested.facts["frozen"]

    await tell(tested)

    assert "frozen" not in await status(redis)


async def test_it_beats_every_two_seconds_with_the_facts_of_the_moment(redis: Redis) -> None:
    clock = QuickClock()
    tested = service(clock, redis, "ws_daemon")
    async with at_work(keep_beating(tested)):
        await eventually(lambda: redis.exists(KEY))
        tested.facts["marks"] = "745"

        async def told() -> bool:
            return (await status(redis)).get("marks") == "745"

        await eventually(told)

    assert set(clock.slept) == {EVERY_S}


async def test_a_host_that_went_away_for_good_is_forgotten_in_an_hour(redis: Redis) -> None:
    """Those that stayed kept it in oi:hosts for ever, and `oi status` missed its standby."""
    clock = QuickClock()
    now_ms = clock.now_ms()
    kept = {"young ws_daemon": now_ms + 10**12, "old ws_daemon": now_ms - 3_600_001}  # the clock runs on meanwhile
    await redis.hset(HOSTS, mapping={name: json.dumps({"beat": at}) for name, at in kept.items()})
    await redis.hset(HOSTS, "odd ws_daemon", "[]")
    tested = service(clock, redis, "ws_daemon")
    left = {b"young ws_daemon", f"{tested.host} ws_daemon".encode()}

    async def forgotten() -> bool:
        return set(await redis.hkeys(HOSTS)) == left

    async with at_work(keep_beating(tested)):
        await eventually(forgotten)


async def test_a_host_whose_clock_is_hours_behind_is_not_forgotten(redis: Redis, clock: FakeClock) -> None:
    """`oi doctor` missed it for seconds of each minute, and could not name its clock."""
    tested, name = service(clock, redis, "ws_daemon"), "behind ws_daemon"
    seen: dict[bytes, bytes] = {}
    for _ in range(3):  # it signs in between two looks
        clock.advance(60)
        await redis.hset(HOSTS, name, json.dumps({"beat": clock.now_ms() - 7_200_000}))
        seen = await _forget_gone(tested, seen)

    assert set(seen) == {name.encode()}
    assert await redis.hexists(HOSTS, name)


async def test_redis_away_costs_only_the_beats_it_misses() -> None:
    """The heartbeat is for people; its failure must not take the service down with it."""
    server = EmbeddedRedis()
    redis = store.connect(server.url)
    clock = QuickClock()
    async with at_work(keep_beating(service(clock, redis, "ws_daemon"))):
        await eventually(lambda: redis.exists(KEY))
        server.kill()
        missed_from = len(clock.slept)
        await eventually(lambda: len(clock.slept) > missed_from + 2)
        server.start()

        async def back() -> bool:
            try:
                return bool(await redis.exists(KEY))
            except (OSError, Transient, store.RedisError):
                return False

        await eventually(back)
    await redis.aclose()
    server.close()
