"""What must outlive the process, in Redis: the last sweep looked at, latches, cooldowns.

A sweep's alerts, its changed latches, the cursor and the acknowledgement are one transaction, and it happens only if
the cursor still is where this process left it. So a kill at any instant, a time-out with an unknown outcome or a second
alerter neither repeats an alert nor loses one; a Redis that was emptied is noticed, and all begins anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import WatchError

from services.oi_alerter import wire
from services.oi_alerter.detector import Key, Latch
from shared import lately
from shared.alert import FIELD
from shared.errors import WireError
from shared.model import Sweep
from shared.store import ALERTER, ALERTS, SWEEPS, redis_faults, round_trip
from shared.sweeplog import BEGINNING, entry_order, read_entry_id, sweep_entry

GROUP = "alerter"
CURSOR = "cursor"
ALERTS_KEPT_MS = 24 * 3600 * 1000  # for a backend that is away over night
MOST_ALERTS = 10_000
READ_AT_ONCE = 16

OnBad = Callable[[WireError], None]
Row = tuple[bytes, dict[bytes, bytes]]


class Moved(Exception):
    """Redis holds another state than this process left there: it was emptied, or somebody else was at work."""


class Memory:
    """``cursor``: the last sweep looked at. It and ``latches`` are as Redis has them, after each call that returns."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.cursor = BEGINNING
        self.latches: dict[Key, Latch] = {}

    async def recall(self, on_bad: OnBad) -> None:
        """Begin where the last process ended; a first start begins behind the newest sweep."""
        async with redis_faults():
            fields = cast("dict[bytes, bytes]", await self._redis.hgetall(ALERTER))
            cursor = read_entry_id(fields.pop(CURSOR.encode(), None))
            if cursor is None:
                newest = cast("list[Row]", await self._redis.xrevrange(SWEEPS, count=1))
                cursor = newest[0][0].decode() if newest else BEGINNING
                await self._redis.hset(ALERTER, CURSOR, cursor)
        self.cursor = cursor
        self.latches = {}
        for name, blob in fields.items():
            try:
                key, latch = wire.decode_latch(name, blob)
                self.latches[key] = latch
            except WireError as e:
                on_bad(e)

    async def past(self, span_ms: int, on_bad: OnBad) -> AsyncIterator[Sweep]:
        """The sweeps that were looked at already, oldest first."""
        start = str(max(0, entry_order(self.cursor)[0] - span_ms))
        while True:
            async with redis_faults():
                rows = cast("list[Row]", await self._redis.xrange(SWEEPS, start, self.cursor, READ_AT_ONCE))
            for row in rows:
                sweep = sweep_entry(*row).sweep
                if isinstance(sweep, Sweep):
                    yield sweep
                else:
                    on_bad(sweep)
            if len(rows) < READ_AT_ONCE:
                return
            start = f"({rows[-1][0].decode()}"

    async def commit(
        self, entry_id: str, latches: Mapping[Key, Latch], idle: Iterable[Key], alerts: Iterable[bytes]
    ) -> None:
        """One sweep was looked at. Raises `Moved`, or `Transient` with an outcome that only `recall` can tell."""
        rows: dict[Any, Any] = {
            CURSOR: entry_id,
            **dict(wire.encode_latch(key, latch) for key, latch in latches.items()),
        }
        gone = list(idle)
        await self._let_go(max(0, entry_order(entry_id)[0] - ALERTS_KEPT_MS))
        async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(ALERTER)
            kept = cast("bytes | None", await pipe.hget(ALERTER, CURSOR))
            if kept != self.cursor.encode():
                now = f"is at {kept.decode(errors='replace'):.40}" if kept else "is gone"
                raise Moved(f"it was at {self.cursor}, and {now}")
            pipe.multi()  # type: ignore[no-untyped-call]
            for alert in alerts:
                pipe.xadd(ALERTS, {FIELD: alert})
            if gone:
                pipe.hdel(ALERTER, *(" ".join(key) for key in gone))
            pipe.hset(ALERTER, mapping=rows)
            pipe.xack(SWEEPS, GROUP, entry_id)
            try:
                await pipe.execute()
            except WatchError as e:
                raise Moved("it changed while a sweep was written") from e
        self.cursor = entry_id
        self.latches.update(latches)
        for key in gone:
            self.latches.pop(key, None)

    async def _let_go(self, before_ms: int) -> None:
        """Of alerts that are old or too many; on its own, for a full Redis obeys it, and refuses what follows."""
        async with round_trip(self._redis) as pipe:
            pipe.xtrim(ALERTS, minid=f"{before_ms}-0", approximate=False)
            pipe.xtrim(ALERTS, maxlen=MOST_ALERTS, approximate=True)

    async def kept(self, symbol: str) -> bytes | None:
        """The last rows of a symbol as the keeper has them, where there is one."""
        async with redis_faults():
            return cast("bytes | None", await self._redis.hget(lately.KEY, symbol))
