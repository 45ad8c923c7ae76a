"""The client of a service that works on one host at a time: Redis refuses what it writes when another has taken over.

Each change is one transaction that happens only while the fencing token in ``oi:fence:<service>`` is this process's (by
WATCH, no script: some users may run none). Before and after it the process looks at its own clock: whoever could not
renew its lease, or was stopped, does nothing more until it has it again. Of a warm standby's service the clock is all:
the newest mark is right, whoever writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.clock import Clock
from shared.errors import Transient
from shared.numbers import whole
from shared.store import FENCE, REPLY_TIMEOUT_S

# Commands that change nothing, and XREADGROUP: a transaction would not wait, and what it takes another finds pending.
READS = frozenset(
    {"EXISTS", "GET", "HGET", "HGETALL", "HKEYS", "HMGET", "MGET", "PING", "XINFO", "XLEN", "XPENDING", "XRANGE"}
    | {"XREVRANGE", "XREADGROUP"}
)


class Fenced(Transient):
    """This process is not, or no longer, the one that does its service's work."""


def number_of(token: str) -> int:
    """That a text begins with; 0: a hand wrote there what is none."""
    return whole(token.partition(" ")[0]) or 0


class Fence:
    """``token``: number and process, as Redis has to hold it; ``standby``: who works instead, for people."""

    def __init__(self, service: str, clock: Clock, *, warm: bool = False, patience_s: float = REPLY_TIMEOUT_S) -> None:
        self.key = FENCE + service
        self.token = ""
        self.standby = "standby; not known yet who works"
        self.refused = 0  # writes that were held back or refused
        self._clock = clock
        self._patience_s = patience_s
        self._opened = asyncio.Event()
        self.ends_s = -math.inf  # when this process stops by itself, by its monotonic clock; before: it does not work
        self.warm = warm  # reads on without the lease; of a cold one nothing must begin

    def open(self, token: str, ends_s: float) -> None:
        self.token, self.ends_s, self.standby = token, ends_s, ""
        self._opened.set()

    def close(self, standby: str) -> None:
        self.ends_s, self.standby = -math.inf, standby

    async def renewed(self) -> None:
        """Wait a moment where the lease ran out and may be renewed at once, as a Redis does that is slow or back again.

        A caller who failed in no time would double its waits in no time, too.
        """
        if self.standby or self._clock.monotonic_s() < self.ends_s:
            return
        self._opened.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._opened.wait()

    def check(self, *, read: bool = False) -> None:
        """Raise `Fenced` once the lease has run out by this process's clock."""
        if not (self.warm and read) and self._clock.monotonic_s() >= self.ends_s:
            self.refused += not read
            raise Fenced(self.standby or "the lease of this service ran out, and is not renewed yet")

    def compare(self, kept: bytes | None) -> None:
        """With what Redis holds. Raises `Fenced` where another has taken over."""
        other = (kept or b"").decode(errors="replace")
        if self.is_passed(other):
            self.refused += 1
            raise Fenced(f"refused: {other} has taken over the work")

    def is_passed(self, kept: str) -> bool:
        """Whether another began after this process; a lower number, or none, is of a Redis that was emptied, or that
        came back with what it held earlier.
        """
        return kept != self.token and number_of(kept) >= number_of(self.token)


class FencedRedis(Redis):
    """Every change goes through `_FencedPipeline`; what only reads does not."""

    def __init__(self, redis: Redis, fence: Fence) -> None:
        super().__init__(connection_pool=redis.connection_pool)
        self.unfenced = redis
        self._fence = fence

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> _FencedPipeline:
        pipe = _FencedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.fence = self._fence
        return pipe

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0].partition(" ")[0] in READS:
            await self._fence.renewed()
            self._fence.check(read=True)
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        async with self.pipeline() as pipe:
            pipe.pipeline_execute_command(*args, **options)  # type: ignore[no-untyped-call]
            (reply,) = await pipe.execute(raise_on_error=False)  # as it is: in a pipeline its text gets a preface
        if isinstance(reply, Exception):
            raise reply
        return reply


class _FencedPipeline(Pipeline):
    fence: Fence

    async def watch(self, *names: Any) -> None:  # type: ignore[override]  # redis-py contradicts itself here
        await super().watch(self.fence.key, *names)
        self.fence.compare(cast("bytes | None", await self.get(self.fence.key)))

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        if not self.watching:
            await self.fence.renewed()
        self.fence.check()
        if self.command_stack and not self.watching and not self.fence.warm:
            await self.watch()
            self.is_transaction = True
        replies = await super().execute(raise_on_error)
        self.fence.check()
        return replies
