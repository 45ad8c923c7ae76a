"""``oi:status:<service>``: what a service last said of itself, gone soon after it stopped saying anything."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NoReturn

from redis.asyncio import Redis

from shared.errors import Transient
from shared.service import Service
from shared.store import STATUS, redis_faults, replace_hash

EVERY_S = 2.0
EXPIRES_S = 10


async def beat(redis: Redis, service: str, fields: Mapping[str, str]) -> None:
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:  # a reader never finds it half written
        replace_hash(pipe, STATUS + service, fields)
        pipe.expire(STATUS + service, EXPIRES_S)
        await pipe.execute()


async def keep_beating(service: Service) -> NoReturn:
    """Beat until cancelled. Redis being away is the service's own loop to report; here it costs one beat."""
    while True:
        with contextlib.suppress(Transient):
            await beat(service.redis, service.name, service.describe())
        await service.clock.sleep(EVERY_S)
