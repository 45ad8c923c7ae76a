"""``oi:status:<service>``: what a service last said of itself, gone soon after it stopped saying anything."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import NoReturn

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.errors import Transient
from shared.service import Service
from shared.store import HOSTS, STATUS, redis_faults, replace_hash

EVERY_S = 2.0
EXPIRES_S = 10
HOSTS_EXPIRE_S = 3600  # a host that went away is named for so long


async def beat(redis: Redis, service: str, fields: Mapping[str, str]) -> None:
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:  # a reader never finds it half written
        _put(pipe, service, fields)
        await pipe.execute()


def _put(pipe: Pipeline, service: str, fields: Mapping[str, str]) -> None:
    replace_hash(pipe, STATUS + service, fields)
    pipe.expire(STATUS + service, EXPIRES_S)


async def tell(service: Service) -> None:
    """The heartbeat, of who works; and in ``oi:hosts`` that this process is there, also where it stands by.

    A standby's heartbeat would overwrite that of who works.
    """
    works, redis = not service.standby, service.unfenced if service.standby else service.redis
    said = {"beat": service.clock.now_ms(), "standby": service.standby, "detail": service.health.report().detail}
    said["egress"] = service.egress
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:
        if works:
            _put(pipe, service.name, service.describe())
        pipe.hset(HOSTS, f"{service.host} {service.name}", json.dumps({**said, **service.agreed}))
        pipe.expire(HOSTS, HOSTS_EXPIRE_S)
        await pipe.execute()


async def keep_beating(service: Service) -> NoReturn:
    """Beat until cancelled. Redis being away is the service's own loop to report; here it costs one beat."""
    while True:
        with contextlib.suppress(Transient):
            await tell(service)
        await service.clock.sleep(EVERY_S)
