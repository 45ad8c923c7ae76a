"""``oi:lease:<service>``: on which of several hosts a service's work is done; the others stand by and take over.

The value names the owner, as `shared/owner.py` has it. A lease runs out when its owner has not renewed it, and is taken
at once from a process of this host that is no longer there: a restart waits for nobody, one in a new container until
the lease runs out. Each taking has a number, the fencing token in ``oi:fence:<service>``; how it went stands in
``oi:handover:<service>``. Commands only, no script: some users may not run any.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from prometheus_client import Counter, Gauge
from redis.exceptions import WatchError

from shared.ban import ban_key
from shared.clock import iso
from shared.errors import Refused, Transient
from shared.fence import Fence, number_of
from shared.heartbeat import read_sign
from shared.logs import EventLog
from shared.owner import is_gone, this_process
from shared.sentinel import require_majority
from shared.service import Service
from shared.store import HANDOVER, HOSTS, LEASE, redis_faults

EXPIRES_S = 5.0
RENEW_S = EXPIRES_S / 3
WORKS_S = EXPIRES_S - RENEW_S  # after its last renewal; a failover of Redis may have lost the newest one
LOOK_S = 0.5  # of a standby
RETRY_S = 0.1  # while Redis is away
TRY_S = 1.0  # sooner than a client gives up: the answer that is waited for may have been lost
FRESH_MS = 10_000
GIVES_WAY_S = 5.0  # for so long a host that gave its work away does not take it back
ASKED_S = 30.0  # for so long a wish for another host stands
CAUSES = ("expired", "stopped", "asked", "banned")
log = EventLog("lease")


class Lost(Refused):
    """This process no longer does the work: it begins anew, as a standby."""


class Lease:
    """Opens and closes the fence before what its service writes."""

    def __init__(self, service: Service, fence: Fence, owner: str = "") -> None:
        self._service, self._fence, self._host = service, fence, service.host
        self._redis, self._clock = service.unfenced, service.clock
        self._key, self._handover = LEASE + service.name, HANDOVER + service.name
        self._owner = owner or this_process(self._host)
        self._seen_s: float | None = None  # when another was last seen to hold it
        self._number = 0  # highest that was seen: Redis may be emptied, or set back, before its owner notices
        self.why = "stopped"  # why it is given up, when it is
        self._handovers, self._without = _meters(service, fence)
        self._begun = Gauge(
            "pipeline_work_begun_timestamp_seconds",
            "When this process took its service's work; 0: it stands by",
            registry=service.registry,
        )

    async def take(self) -> None:
        """Wait until the lease is this process's; meanwhile it is a healthy standby."""
        health = self._service.health
        while True:
            try:
                other = await self._try()
            except Transient as e:
                if not self._service.warm:
                    health.bad("waiting for Redis", e)
                await self._clock.sleep(LOOK_S)
                continue
            if not other:
                self._begun.set(self._clock.now_ms() / 1000)
                return
            if self._seen_s is None:
                log.warning("another process does this service's work: standing by", owner=other)
            self._seen_s = self._clock.monotonic_s()
            self._fence.close(f"standby; {other.partition(' ')[0]} works")
            if not self._service.warm:
                health.good(self._fence.standby)
            await self._clock.sleep(LOOK_S)

    async def keep(self) -> NoReturn:
        """Renew it until cancelled. Raises `Lost` when another has it: this process must not go on working."""
        wait_s = RENEW_S
        while True:
            await self._clock.sleep(wait_s)
            try:
                other = await self._try()
            except Transient:  # the fence closes by itself in time; its opening must not keep the service waiting
                wait_s = RETRY_S
                continue
            wait_s = RENEW_S
            if other:
                raise Lost(f"{other} has taken over the work of {self._service.name}")
            await self._yield_if_asked()
            if self._service.wish and await self._another_may():
                self._give_away(self._service.wish)

    def _give_away(self, why: str) -> NoReturn:
        self.why = why
        raise Lost(f"the work of {self._service.name} is given to another host: {why}")

    async def _another_may(self) -> bool:
        """Whether a standby is there that goes another way to the exchange, and may."""
        service = self._service
        with contextlib.suppress(Transient):
            async with redis_faults():
                rows = cast("dict[bytes, bytes]", await self._redis.hgetall(HOSTS))
                for egress in _standbys(rows, service.name, self._clock.now_ms()) - {service.egress, ""}:
                    if not await self._redis.exists(ban_key(egress)):
                        return True
        return False

    async def _yield_if_asked(self) -> None:
        """Raise `Lost` where somebody wants another host to do the work; that one is there, or nobody would ask."""
        with contextlib.suppress(Transient):
            async with redis_faults():
                blobs = await cast("Any", self._redis.hmget(self._handover, "asked", "of", "because"))
            asked, host, because = map(_text, blobs)
            if host == self._host and 0 <= self._clock.now_ms() - number_of(asked) < ASKED_S * 1000:
                self._give_away(because if because in CAUSES else "asked")

    async def hold(self) -> NoReturn:
        await self.take()
        await self.keep()

    async def give_up(self) -> None:
        """At the end, so that a standby need not wait until it runs out. Redis may be away."""
        self._fence.close("standby; the work was given up")
        with contextlib.suppress(Transient, WatchError):
            async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
                await pipe.watch(self._key)
                if await pipe.get(self._key) == self._owner.encode():
                    pipe.multi()  # type: ignore[no-untyped-call]
                    pipe.delete(self._key)
                    released = {"released": str(self._clock.now_ms()), "why": self.why, "by": self._host}
                    pipe.hset(self._handover, mapping=dict(released.items()))
                    pipe.hdel(self._handover, "asked")
                    await pipe.execute()

    async def _try(self) -> str:
        """Take or renew it; returns the other process that holds it, if one does. Raises `Transient`, `Lost`."""
        began_s, fence = self._clock.monotonic_s(), self._fence
        token, told = fence.token, dict[str, str]()
        async with redis_faults(), asyncio.timeout(TRY_S), self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._key, fence.key)
            held, kept = map(_text, cast("list[bytes | None]", await pipe.mget(self._key, fence.key)))
            self._number = max(self._number, number_of(kept))
            if held not in {"", self._owner} and not is_gone(held, self._host):
                return held
            if token and fence.is_passed(kept):
                raise Lost(f"{kept} has done the work of {self._service.name} meanwhile")
            if not token:  # the first time that this process takes it
                token = f"{self._number + 1} {self._owner}"
                rows = cast("dict[bytes, bytes]", await pipe.hgetall(self._handover))
                last = {_text(name): _text(value) for name, value in rows.items()}
                if self._gave_way(last):
                    return "another host"
                told = self._taking(kept, last)
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.set(self._key, self._owner, px=round(EXPIRES_S * 1000))
            if token != kept:
                pipe.set(fence.key, token)
                pipe.hdel(self._handover, "released", "why", "by")
            if told:
                pipe.hset(self._handover, mapping=dict(told.items()))
            try:
                await pipe.execute()
            except WatchError:
                raise Transient("the lease changed hands meanwhile") from None
        if told:  # also where the majority is still to come: what is in Redis now is told once
            log.warning("taking over", **told)
            self._handovers.labels(told["cause"]).inc()
            self._without.inc(float(told.get("without_s", 0)))
        await require_majority(self._redis)
        fence.open(token, began_s + WORKS_S)
        self._seen_s = None
        return ""

    def _gave_way(self, last: Mapping[str, str]) -> bool:
        """Whether this host has just given the work to another, which has not taken it yet."""
        if last.get("by") != self._host or last.get("why") not in {"asked", "banned"}:
            return False
        return 0 <= self._clock.now_ms() - number_of(last.get("released", "")) < GIVES_WAY_S * 1000

    def _taking(self, kept: str, last: Mapping[str, str]) -> dict[str, str]:
        """How the work came here; empty for a first start, and for a restart on the same host."""
        before = kept.partition(" ")[2].partition(" ")[0]
        if before in {"", self._host}:
            return {}
        cause, without = "expired", ""
        if "released" in last:  # by the clock of who gave it up
            cause = last["why"] if last.get("why") in CAUSES else "stopped"
            without = f"{max(0, self._clock.now_ms() - number_of(last['released'])) / 1000:.1f}"
        elif self._seen_s is not None:
            without = f"{EXPIRES_S + self._clock.monotonic_s() - self._seen_s:.1f}"
        told = {"before": before, "now": self._host, "cause": cause, "at": iso(self._clock.now_ms())}
        return {**told, "without_s": without} if without else told


def _meters(service: Service, fence: Fence) -> tuple[Counter, Counter]:
    """Of taking over; how it stands now is asked of the fence."""
    owner = Gauge("pipeline_lease_owner", "1 while this process does its service's work", registry=service.registry)
    owner.set_function(lambda: float(service.clock.monotonic_s() < fence.ends_s))
    refused = Gauge("pipeline_fenced_writes", "Writes held back while another did the work", registry=service.registry)
    refused.set_function(lambda: float(fence.refused))
    handovers = Counter("pipeline_handovers", "Work taken over from another host", ["cause"], registry=service.registry)
    for cause in CAUSES:
        handovers.labels(cause)
    without = Counter(
        "pipeline_without_owner_seconds", "Time between two owners, as the second saw it", registry=service.registry
    )
    return handovers, without


def _standbys(rows: Mapping[bytes, bytes], service: str, now_ms: int) -> set[str]:
    """By which addresses those would go that stand by and were heard of within seconds."""
    signs = [read_sign(blob) for name, blob in rows.items() if name.endswith(f" {service}".encode())]
    return {sign.egress for sign in signs if sign and sign.standby and now_ms - sign.beat < FRESH_MS}


def _text(blob: bytes | None) -> str:
    return (blob or b"").decode(errors="replace")
