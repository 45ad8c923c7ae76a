"""What the deliveries of alerts and of the universe share: trying again after a failure, and looking before it.

The backend knows no id of ours, so a POST whose outcome is not known may not simply be made again. It is noted in
``oi:publisher`` before it is sent, and the note stays until the outcome is known, over a kill too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, cast

from redis.asyncio import Redis

from services.publisher.wire import InDoubt
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.numbers import whole
from shared.store import PUBLISHER, redis_faults

LONGEST_S = 900.0  # that the backend is thought to be at work on one POST


class Unclear(NamedTuple):
    """A POST of unknown outcome."""

    what: str  # without a blank
    until_ms: int  # by then the backend has ended with it
    posts: int  # how often it went out


class LastPost:
    """The last POST of one kind, in a field of ``oi:publisher``: ``<what> <until, Unix ms> <posts>``."""

    def __init__(self, redis: Redis, field: str, timeout_s: float, clock: Clock) -> None:
        self._redis = redis
        self._field = field
        self._timeout_s = timeout_s
        self._clock = clock

    async def unclear(self) -> Unclear | None:
        """The POST whose outcome is not known; None where there is none, or what a hand wrote there is no note."""
        async with redis_faults():
            blob = cast("bytes | None", await self._redis.hget(PUBLISHER, self._field))
        what, *numbers = (blob or b"").decode(errors="replace").split(" ")
        until_ms, posts = (whole(number) or 0 for number in [*numbers, "", ""][:2])
        return Unclear(what, until_ms, max(posts, 1)) if what else None

    def is_at_work(self, unclear: Unclear, beyond_s: float = 0.0) -> bool:
        """Whether the backend may still be at it, or was so lately; a time that no clock here can have written says
        nothing.
        """
        left_s = (unclear.until_ms - self._clock.now_ms()) / 1000
        return -beyond_s < left_s <= LONGEST_S + self._timeout_s

    async def send(self, what: str, post: Callable[[], Awaitable[None]], earlier: Unclear | None = None) -> None:
        """Note it, then send it. Raises what ``post`` raises; after `InDoubt` it stays noted.

        ``earlier``: the one of unknown outcome that it follows; of that the note stays where this one had no effect.
        A backend that did not answer in time is given as long again, and twice that after each further time.
        """
        posts = earlier.posts + 1 if earlier else 1
        patience_s = min(self._timeout_s * 2.0 ** min(posts - 1, 20), LONGEST_S)
        await self._note(Unclear(what, self._after_ms(self._timeout_s + patience_s), posts))
        try:
            await post()
        except InDoubt:
            await self._note(Unclear(what, self._after_ms(patience_s), posts))
            raise
        except (Transient, Refused, Rejected):
            await self._note(earlier)
            raise

    async def forget(self) -> None:
        await self._note(None)

    def _after_ms(self, seconds: float) -> int:
        return self._clock.now_ms() + round(seconds * 1000)

    async def _note(self, unclear: Unclear | None) -> None:
        async with redis_faults():
            if unclear is None:
                await self._redis.hdel(PUBLISHER, self._field)
            else:
                await self._redis.hset(PUBLISHER, self._field, f"{unclear.what} {unclear.until_ms} {unclear.posts}")


async def keep(
    step: Callable[[], Awaitable[float]], say: Callable[[Exception, float], None], backoff: Backoff, clock: Clock
) -> NoReturn:
    """Take ``step`` for ever; it returns, and ``say`` is told, the seconds until the next."""
    while True:
        try:
            wait_s = await step()
        except (Transient, Refused, Rejected, WireError) as e:
            wait_s = (e.retry_after_s if isinstance(e, RateLimited) else None) or backoff.next_s()
            say(e, wait_s)
        await clock.sleep(wait_s)
