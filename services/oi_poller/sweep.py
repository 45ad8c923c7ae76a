"""One pass of open-interest requests over the universe, a steady number of them in flight.

The first request goes alone: if the address was banned meanwhile, one request finds out, not all that may be in flight.
A symbol that fails or hangs costs only itself. What fails for all of them ends the pass: a 429 or a 418 at once, any
other fault when it has hit as many requests in a row as are in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from services.oi_poller.weight import OutOfWeight
from shared.clock import Clock
from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.model import OpenInterest
from shared.venues.binance.answers import INVALID_SYMBOL, NOT_TRADING


class Failure(StrEnum):
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    OUT_OF_WEIGHT = "out_of_weight"
    REFUSED = "refused"
    REJECTED = "rejected"
    BAD_REPLY = "bad_reply"
    NOT_TRADING = "not_trading"
    INVALID_SYMBOL = "invalid_symbol"


FIRST_S = 0.3
STRAGGLERS_S = 1.0
GONE = (Failure.NOT_TRADING, Failure.INVALID_SYMBOL)
_CODES = {NOT_TRADING: Failure.NOT_TRADING, INVALID_SYMBOL: Failure.INVALID_SYMBOL}

Ask = Callable[[str], Awaitable[OpenInterest]]


class Outcome(NamedTuple):
    """Every symbol asked for is in ``fresh`` or in ``failures``."""

    fresh: dict[str, OpenInterest]
    failures: dict[str, Failure]
    cause: Exception | None  # the last fault that was not one symbol's own


def failure_of(error: Exception) -> Failure:
    match error:
        case Banned():
            return Failure.BANNED
        case RateLimited():
            return Failure.RATE_LIMITED
        case OutOfWeight():
            return Failure.OUT_OF_WEIGHT
        case Transient(__cause__=TimeoutError()):
            return Failure.TIMEOUT
        case Transient(__cause__=None):
            return Failure.SERVER_ERROR
        case Transient():
            return Failure.CONNECTION
        case Rejected(code=code):
            return _CODES.get(code, Failure.REJECTED)
        case Refused():
            return Failure.REFUSED
        case _:
            return Failure.BAD_REPLY


async def sweep(symbols: Iterable[str], ask: Ask, clock: Clock, *, in_flight: int, deadline_s: float) -> Outcome:
    """Ask for each symbol once, in the order given; what has no answer at the deadline failed by `timeout`."""
    run = _Pass(list(symbols), ask, clock, in_flight, deadline_s)
    try:
        async with asyncio.timeout(deadline_s) as run.limit, asyncio.TaskGroup() as workers:
            workers.create_task(run.work())
            await run.answered()
            for _ in range(in_flight - 1):
                workers.create_task(run.work())
    except TimeoutError:
        pass
    return run.outcome()


class _Pass:
    limit: asyncio.Timeout

    def __init__(self, symbols: list[str], ask: Ask, clock: Clock, patience: int, deadline_s: float) -> None:
        self._symbols = symbols
        self._queue = deque(symbols)
        self._ask = ask
        self._clock = clock
        self._patience = patience
        self._started_s = clock.monotonic_s()
        self._deadline_s = deadline_s
        self._fresh: dict[str, OpenInterest] = {}
        self._failures: dict[str, Failure] = {}
        self._in_a_row = 0
        self._cause: Exception | None = None
        self._stopped: Failure | None = None
        self._first = asyncio.Event()

    async def answered(self) -> None:
        """Wait for the first answer, though not for one that hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):  # wait_for of Python 3.11 can swallow a cancellation
                await self._first.wait()

    async def work(self) -> None:
        """One of those in flight: pull the next symbol as soon as the last is done."""
        while self._queue and self._stopped is None:
            symbol = self._queue.popleft()
            try:
                self._fresh[symbol] = await self._ask(symbol)
                self._in_a_row = 0
            except OutOfWeight as e:
                self._queue.appendleft(symbol)
                await self._until_there_is_weight(e)
            except (Transient, Rejected, Refused, WireError) as e:
                self._fail(symbol, e)
            self._first.set()
        self._hurry()

    def outcome(self) -> Outcome:
        unanswered = self._stopped or Failure.TIMEOUT
        missing = [s for s in self._symbols if s not in self._fresh and s not in self._failures]
        return Outcome(self._fresh, self._failures | dict.fromkeys(missing, unanswered), self._cause)

    def _fail(self, symbol: str, error: Exception) -> None:
        reason = failure_of(error)
        self._failures[symbol] = reason
        if reason in GONE:
            return
        self._cause = error
        self._in_a_row += 1
        if isinstance(error, RateLimited) or self._in_a_row >= self._patience:
            self._stopped = self._stopped or reason

    async def _until_there_is_weight(self, error: OutOfWeight) -> None:
        wait_s = error.retry_after_s or 0.0
        if self._elapsed_s() + wait_s > self._deadline_s:
            self._cause = error
            self._stopped = self._stopped or Failure.OUT_OF_WEIGHT
        else:
            await self._clock.sleep(wait_s)

    def _hurry(self) -> None:
        """The last few that hang get as long again as all the others took, so that these land soon."""
        unanswered = len(self._symbols) - len(self._fresh) - len(self._failures)
        if unanswered > max(1, len(self._symbols) // 10) or self._queue:
            return
        end_s = asyncio.get_running_loop().time() + max(STRAGGLERS_S, self._elapsed_s())
        end_s = min(end_s, self.limit.when() or end_s)
        if not self.limit.expired():
            self.limit.reschedule(end_s)

    def _elapsed_s(self) -> float:
        return self._clock.monotonic_s() - self._started_s
