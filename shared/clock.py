"""Time and waiting, passed in: pure functions take ``now_ms``, loops take a `Clock`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Unix milliseconds, for stamps that others read."""

    def monotonic_s(self) -> float:
        """Seconds that never jump, for ages and deadlines in this process."""

    async def sleep(self, seconds: float) -> None:
        """Wait; a fake clock moves its own time instead."""


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def monotonic_ms(clock: Clock) -> int:
    """Milliseconds that never jump; their zero means nothing."""
    return int(clock.monotonic_s() * 1000)


def iso(ms: int) -> str:
    """Unix ms -> ``2025-12-03T05:10:00.123Z``."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """ISO 8601 with a zone -> Unix ms; ValueError when it is neither."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return round(moment.timestamp() * 1000)
