"""Clocks of which minutes pass in a test: one that runs faster than the day, and one that the test lets go on."""

from __future__ import annotations

import asyncio
import time

from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.waiting import eventually


class FastClock:
    """Real waiting, shortened: at ``speed`` 60 a minute takes a second.

    What must come about within an instant of it is given time at speed 1, before the test sets another.
    """

    def __init__(self, speed: float, start_ms: int = NOW_MS) -> None:
        self._start_ms = start_ms
        self._speed, self._begun_s, self._passed_s = speed, time.monotonic(), 0.0

    def set_speed(self, speed: float) -> None:
        self._passed_s = self.monotonic_s()
        self._speed, self._begun_s = speed, time.monotonic()

    def monotonic_s(self) -> float:
        return self._passed_s + (time.monotonic() - self._begun_s) * self._speed

    def now_ms(self) -> int:
        return self._start_ms + int(self.monotonic_s() * 1000)

    async def sleep(self, seconds: float) -> None:
        until_s = self.monotonic_s() + seconds
        while True:
            left_s = until_s - self.monotonic_s()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s / self._speed, 0.05))  # the speed may change meanwhile


class HeldClock(FakeClock):
    """Time stands still while a job is at work, however long that takes, and goes on when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        sleeper = self.monotonic_s() + seconds, asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    @property
    def sleeps(self) -> bool:
        return bool(self._sleepers)

    async def wake_next(self) -> None:
        """Once somebody sleeps: on to the instant when the first wakes."""
        await eventually(lambda: self._sleepers)
        at_s, woken = min(self._sleepers, key=lambda sleeper: sleeper[0])
        self.advance(at_s - self.monotonic_s())
        woken.set_result(None)
        await eventually(lambda: all(other[1] is not woken for other in self._sleepers))
