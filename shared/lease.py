"""``oi:lease:<service>``: which of several processes does a service's work; the others stand by and take over.

The value names the owner: host, process, and when that process began. A lease runs out when its owner has not renewed
it, and is taken at once from an owner on this host that is no longer there, so that a restart waits for nobody.
Commands only, no script: some users may not run any.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import NoReturn, cast

from redis.exceptions import WatchError

from shared.errors import Refused, Transient
from shared.logs import EventLog
from shared.service import Service
from shared.store import LEASE, redis_faults

EXPIRES_S = 5.0
RENEW_S = EXPIRES_S / 3
log = EventLog("lease")


def this_process() -> str:
    pid = os.getpid()
    return f"{socket.gethostname()} {pid} {_began(pid)}"


def is_gone(owner: str) -> bool:
    """Whether an owner on this host has ended. Of another host, and of what a hand wrote there, nobody can tell."""
    host, _, rest = owner.partition(" ")
    pid, _, began = rest.partition(" ")
    if host != socket.gethostname() or not (pid.isascii() and pid.isdigit() and len(pid) < 10):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is there, and another user's
    return _began(int(pid)) not in {began, ""}


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot: its number may be another's by now. Empty where nobody tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Lease:
    def __init__(self, service: Service, owner: str = "") -> None:
        self._service = service
        self._key = LEASE + service.name
        self._owner = owner or this_process()

    async def take(self) -> None:
        """Wait until the lease is this process's; meanwhile it is a healthy standby."""
        service, before = self._service, ""
        while True:
            try:
                other = await self._try()
            except Transient as e:
                service.health.bad("waiting for Redis", e)
                await service.clock.sleep(RENEW_S)
                continue
            if not other:
                break
            if not before:
                log.warning("another process does this service's work: standing by", service=service.name, owner=other)
            before = other
            service.health.good(f"standby: {other.rpartition(' ')[0]} works")
            await service.clock.sleep(RENEW_S)
        if before:
            log.warning("taking over", service=service.name, before=before)

    async def keep(self) -> NoReturn:
        """Renew it until cancelled. Raises `Refused` when another has it: this process must not go on working."""
        clock = self._service.clock
        while True:
            await clock.sleep(RENEW_S)
            try:
                other = await self._try()
            except Transient:
                continue  # nobody can write what this process would write either
            if other:
                raise Refused(f"{other} has taken over the work of {self._service.name}")

    async def give_up(self) -> None:
        """At the end, so that a standby need not wait until it runs out. Redis may be away."""
        with contextlib.suppress(Transient):
            async with redis_faults(), self._service.redis.pipeline(transaction=True) as pipe:
                await pipe.watch(self._key)
                if await pipe.get(self._key) == self._owner.encode():
                    pipe.multi()  # type: ignore[no-untyped-call]
                    pipe.delete(self._key)
                    await pipe.execute()

    async def _try(self) -> str:
        """Take or renew it; returns the other process that holds it, if one does. Raises `Transient`."""
        redis = self._service.redis
        async with redis_faults(), redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._key)
            held = (cast("bytes | None", await pipe.get(self._key)) or b"").decode(errors="replace")
            if held not in {"", self._owner} and not is_gone(held):
                return held
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set(self._key, self._owner, px=round(EXPIRES_S * 1000))
            try:
                await pipe.execute()
            except WatchError:
                return "another process"
        return ""
