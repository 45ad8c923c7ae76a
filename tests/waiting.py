"""Wait for a condition with a deadline, which is for what hangs, not for what is slow; never sleep for a guess."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], within_s: float = 45.0, every_s: float = 0.02) -> T:
    """The first truthy answer of ``condition``; AssertionError with the last one when time is up."""
    deadline = time.monotonic() + within_s
    last: T | None = None
    while time.monotonic() < deadline:
        answer = condition()
        last = await answer if inspect.isawaitable(answer) else answer
        if last:
            return last
        await asyncio.sleep(every_s)
    raise AssertionError(f"not within {within_s:g} s; last answer: {last!r:.500}")


def until(condition: Callable[[], T], within_s: float = 30.0) -> T:
    """The same where no event loop runs."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s; last answer: {answer!r:.300}"
        time.sleep(0.01)
    return answer
