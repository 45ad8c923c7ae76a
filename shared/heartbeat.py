"""``oi:status:<service>``: what a service last said of itself, gone soon after it stopped saying anything."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import NoReturn, cast

from shared.errors import UNREADABLE, Transient
from shared.service import Service
from shared.store import HOSTS, STATUS, redis_faults, replace_hash

EVERY_S = 2.0
EXPIRES_S = 10
HOSTS_EXPIRE_S = 3600  # a host that went away is named for so long
FORGET_S = 60.0  # between two looks for one


async def tell(service: Service) -> None:
    """The heartbeat, of who works; and in ``oi:hosts`` that this process is there, also where it stands by.

    A standby's heartbeat would overwrite that of who works.
    """
    works, redis = not service.standby, service.unfenced if service.standby else service.redis
    said = {"beat": service.clock.now_ms(), "standby": service.standby, "detail": service.health.report().detail}
    said["egress"] = service.egress
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:  # a reader never finds it half written
        if works:
            replace_hash(pipe, STATUS + service.name, service.describe())
            pipe.expire(STATUS + service.name, EXPIRES_S)
        pipe.hset(HOSTS, f"{service.host} {service.name}", json.dumps({**said, **service.agreed}))
        pipe.expire(HOSTS, HOSTS_EXPIRE_S)
        await pipe.execute()


async def keep_beating(service: Service) -> NoReturn:
    """Beat until cancelled. Redis being away is the service's own loop to report; here it costs one beat."""
    forget_s, hosts = service.clock.monotonic_s(), dict[bytes, bytes]()
    while True:
        with contextlib.suppress(Transient):
            await tell(service)
            if service.clock.monotonic_s() >= forget_s:
                hosts = await _forget_gone(service, hosts)
                forget_s = service.clock.monotonic_s() + FORGET_S
        await service.clock.sleep(EVERY_S)


async def _forget_gone(service: Service, before: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Hosts that went away for good: those that are there keep ``oi:hosts`` from expiring.

    Who signed in since the look ``before`` is there, however old that is by a clock of its own. Returns this look.
    """
    since_ms = service.clock.now_ms() - HOSTS_EXPIRE_S * 1000
    async with redis_faults():
        rows = cast("dict[bytes, bytes]", await service.unfenced.hgetall(HOSTS))
        gone = [name for name, blob in rows.items() if before.get(name) == blob and _beat_ms(blob) < since_ms]
        if gone:
            await service.unfenced.hdel(HOSTS, *gone)
    return rows


def _beat_ms(blob: bytes) -> int:
    """When the process of a row of ``oi:hosts`` last signed in; 0 where that cannot be read."""
    try:
        return int(json.loads(blob)["beat"])
    except (*UNREADABLE, KeyError, TypeError):
        return 0
