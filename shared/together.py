"""One read of Redis for everybody who asks at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from shared.clock import Clock
from shared.errors import Transient

T = TypeVar("T")


class Together(Generic[T]):
    """Reads when asked, at most once in ``fresh_s``; requests that come meanwhile wait for the same read."""

    def __init__(self, read: Callable[[], Awaitable[T]], fresh_s: float, clock: Clock) -> None:
        self._wanted = read
        self._fresh_s = fresh_s
        self._clock = clock
        self._begun_s = float("-inf")
        self._read: asyncio.Task[T | Transient] | None = None

    async def latest(self) -> T:
        """Raises `Transient` while Redis is away; that is remembered for ``fresh_s`` too."""
        now_s = self._clock.monotonic_s()
        if self._read is None or (self._read.done() and now_s - self._begun_s >= self._fresh_s):
            self._begun_s = now_s
            self._read = asyncio.create_task(self._once(), name="shared read")
        outcome = await asyncio.shield(self._read)  # one caller's end is not the others'
        if isinstance(outcome, Transient):
            raise Transient(str(outcome))  # of one's own: a shared one would collect everybody's traceback
        return outcome

    async def _once(self) -> T | Transient:
        try:
            return await self._wanted()
        except Transient as e:
            return e
