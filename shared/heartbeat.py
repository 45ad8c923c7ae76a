"""``oi:status:<service>``: what a service last said of itself, gone soon after it stopped saying anything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from redis.asyncio import Redis

from shared.clock import Clock, iso
from shared.errors import Transient
from shared.health import Health
from shared.store import STATUS, redis_faults, replace_hash

EVERY_S = 2.0
EXPIRES_S = 10


def heartbeat(health: Health, facts: Mapping[str, str], started_ms: int, now_ms: int) -> dict[str, str]:
    """The fields of one beat; a service's own ``facts`` stand beside the common ones."""
    report = health.report()
    return {
        "state": report.state,
        "detail": report.detail,
        "since": iso(report.since_ms),
        "lastSuccess": "" if report.last_success_ms is None else iso(report.last_success_ms),
        "started": iso(started_ms),
        "beat": iso(now_ms),
        "pid": str(os.getpid()),
        **facts,
    }


async def beat(redis: Redis, service: str, fields: Mapping[str, str]) -> None:
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:  # a reader never finds it half written
        replace_hash(pipe, STATUS + service, fields)
        pipe.expire(STATUS + service, EXPIRES_S)
        await pipe.execute()


async def keep_beating(redis: Redis, service: str, health: Health, facts: Mapping[str, str], clock: Clock) -> None:
    """Beat until cancelled. Redis being away is the service's own loop to report; here it costs one beat."""
    started_ms = clock.now_ms()
    while True:
        with contextlib.suppress(Transient):
            await beat(redis, service, heartbeat(health, facts, started_ms, clock.now_ms()))
        await clock.sleep(EVERY_S)
