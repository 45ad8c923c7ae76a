"""``oi:status:<service>``: what a service last said of itself, gone soon after it stopped saying anything."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NoReturn, cast

import msgspec

from shared.errors import UNREADABLE, Transient
from shared.numbers import Instant
from shared.service import Service
from shared.store import HOSTS, STATUS, redis_faults, replace_hash

EVERY_S = 2.0
EXPIRES_S = 10
HOSTS_EXPIRE_S = 3600  # a host that went away is named for so long
FORGET_S = 60.0  # between two looks for one


class Sign(msgspec.Struct, frozen=True):
    """A row of ``oi:hosts``: one process, as it last signed in. ``standby`` is empty where it works."""

    beat: Instant
    standby: str = ""
    detail: str = ""
    egress: str = ""
    version: str = ""
    settings: dict[str, str] = {}  # setting -> digest


_encode_sign = msgspec.json.Encoder().encode
_signs = msgspec.json.Decoder(Sign)


def read_sign(blob: bytes) -> Sign | None:
    """None: another version wrote it, or a hand."""
    try:
        return _signs.decode(blob)
    except UNREADABLE:
        return None


async def tell(service: Service) -> None:
    """The heartbeat, of who works; and in ``oi:hosts`` that this process is there, also where it stands by.

    A standby's heartbeat would overwrite that of who works.
    """
    works, redis = not service.standby, service.unfenced if service.standby else service.redis
    detail = service.health.report().detail
    sign = Sign(service.clock.now_ms(), service.standby, detail, service.egress, **service.agreed)
    async with redis_faults(), redis.pipeline(transaction=True) as pipe:  # a reader never finds it half written
        if works:
            replace_hash(pipe, STATUS + service.name, service.describe())
            pipe.expire(STATUS + service.name, EXPIRES_S)
        pipe.hset(HOSTS, f"{service.host} {service.name}", _encode_sign(sign))
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
        unchanged = {name: read_sign(blob) for name, blob in rows.items() if before.get(name) == blob}
        gone = [name for name, sign in unchanged.items() if sign is None or sign.beat < since_ms]
        if gone:
            await service.unfenced.hdel(HOSTS, *gone)
    return rows
