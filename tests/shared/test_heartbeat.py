"""What a service says of itself in Redis, for as long as it says anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.errors import Transient
from shared.health import Health
from shared.heartbeat import EVERY_S, EXPIRES_S, beat, heartbeat, keep_beating
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.waiting import eventually

KEY = "oi:status:ws_daemon"


class QuickClock(FakeClock):
    """Two seconds pass in ten milliseconds."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def beating(redis: Redis, health: Health, facts: dict[str, str], clock: FakeClock) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_beating(redis, "ws_daemon", health, facts, clock))
    try:
        yield
    finally:
        assert not task.done(), "it stopped beating"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def status(redis: Redis) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in (await redis.hgetall(KEY)).items()}


def test_a_beat_tells_what_an_operator_asks_first(clock: FakeClock) -> None:
    """State, since when, why, the last success: the answer to "what is it doing" without a log."""
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    clock.advance(2)

    assert heartbeat(health, {"marks": "745"}, NOW_MS - 60_000, clock.now_ms()) == {
        "state": "ok",
        "detail": "745 marks",
        "since": "2025-12-03T00:00:00.000Z",
        "lastSuccess": "2025-12-03T00:00:00.000Z",
        "started": "2025-12-02T23:59:00.000Z",
        "beat": "2025-12-03T00:00:02.000Z",
        "pid": str(os.getpid()),
        "marks": "745",
    }


def test_before_the_first_success_there_is_no_time_of_one(clock: FakeClock) -> None:
    assert heartbeat(Health(clock, limit_s=5), {}, NOW_MS, NOW_MS)["lastSuccess"] == ""


def test_a_beat_notices_that_the_job_has_stopped(clock: FakeClock) -> None:
    """The heartbeat goes on in a service whose work hangs; it must not say "ok" then."""
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    clock.advance(6)

    assert heartbeat(health, {}, NOW_MS, clock.now_ms())["state"] == "stalled"


async def test_a_beat_expires_soon_after_the_last(redis: Redis) -> None:
    """A service that was killed must not look alive in ``oi status`` next morning."""
    await beat(redis, "ws_daemon", {"state": "ok"})

    assert await status(redis) == {"state": "ok"}
    assert 2 * EVERY_S * 1000 < await redis.pttl(KEY) <= EXPIRES_S * 1000  # one lost beat is not a death


async def test_a_beat_replaces_the_one_before(redis: Redis) -> None:
    """A fact that no longer holds ("frozen: XYZUSDT") must go when the service stops saying it."""
    await beat(redis, "ws_daemon", {"state": "ok", "frozen": "XYZUSDT"})

    await beat(redis, "ws_daemon", {"state": "ok"})

    assert await status(redis) == {"state": "ok"}


async def test_it_beats_every_two_seconds_with_the_facts_of_the_moment(redis: Redis) -> None:
    clock = QuickClock()
    facts = {"marks": "0"}
    async with beating(redis, Health(clock, limit_s=5), facts, clock):
        await eventually(lambda: redis.exists(KEY))
        facts["marks"] = "745"

        async def told() -> bool:
            return (await status(redis)).get("marks") == "745"

        await eventually(told)

    assert set(clock.slept) == {EVERY_S}


async def test_redis_away_costs_only_the_beats_it_misses() -> None:
    """The heartbeat is for people; its failure must not take the service down with it."""
    server = EmbeddedRedis()
    redis = store.connect(server.url)
    clock = QuickClock()
    async with beating(redis, Health(clock, limit_s=5), {}, clock):
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
