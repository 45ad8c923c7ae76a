"""A clock that runs faster than the day, so that minutes of the exchange pass in a test."""

from __future__ import annotations

import asyncio
import time

from tests.builders import NOW_MS


class FastClock:
    """Real waiting, shortened: at ``speed`` 60 a minute takes a second."""

    def __init__(self, speed: float, start_ms: int = NOW_MS) -> None:
        self._speed = speed
        self._start_ms = start_ms
        self._began_s = time.monotonic()

    def monotonic_s(self) -> float:
        return (time.monotonic() - self._began_s) * self._speed

    def now_ms(self) -> int:
        return self._start_ms + int(self.monotonic_s() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
