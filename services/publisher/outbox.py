"""What waits to be delivered, and what must be known about it after a kill: all of it in Redis.

``oi:sweeps`` is the outbox: every sweep is taken into the consumer group at once and acknowledged when the backend has
it. ``oi:publisher`` remembers the attempt in flight, written before its POST, and which entries wait: a group that is
lost, or set back, repeats nothing, and what disappears while it waits is noticed. Each change is one MULTI.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from services.publisher.attempt import Attempt, Kept, decode_kept
from shared.clock import iso
from shared.model import Served
from shared.store import LEFT_OUT, PUBLISHER, SERVED, SWEEPS, redis_faults, replace_hash
from shared.sweeplog import (
    BEGINNING,
    BLOCK_MS,
    RETENTION_MS,
    Entry,
    GroupReader,
    entry_order,
    read_entry_id,
    sweep_entry,
)

GROUP = "publisher"
CONSUMER = "publisher"  # fixed, so that a restart finds what it had taken
READ_AT_ONCE = 8  # in memory; however many wait
MOST_WAITING = 10_000  # three hours of sweeps are two thousand


class Lost(NamedTuple):
    """Sweeps that can never be delivered any more; first and last as times."""

    cause: str
    sweeps: int
    first: str
    last: str


def entry_time(entry_id: str) -> str:
    """When the entry was added, or its id where a hand chose one that no calendar can show."""
    try:
        return iso(entry_order(entry_id)[0])
    except (ValueError, OverflowError, OSError):
        return entry_id


class Outbox(GroupReader):
    """``waiting``: entries taken and not delivered, oldest first, as of the last `collect`."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, SWEEPS, GROUP, CONSUMER)
        self.waiting: list[str] = []
        self.delivered_id = BEGINNING  # the newest entry ever delivered
        self.attempt: Attempt | None = None  # in flight, outcome unknown
        self.doubted: set[str] = set()  # of those that wait: may have arrived once already

    async def recall(self) -> Kept:
        """Take up what an earlier process, or a hand, left in ``oi:publisher``."""
        async with redis_faults():
            kept = decode_kept(cast("dict[bytes, bytes]", await self._redis.hgetall(PUBLISHER)))
        self.attempt, self.delivered_id, self.waiting = kept.attempt, kept.delivered_id, kept.waiting
        self.doubted = kept.doubted
        return kept

    async def missed(self) -> Lost | None:
        """What retention took while no process ran, before anybody read it."""
        async with redis_faults():
            try:
                groups, stream = await self._redis.xinfo_groups(SWEEPS), await self._redis.xinfo_stream(SWEEPS)
            except ResponseError:  # there is no stream yet; the group is made with it
                return None
        return next((trimmed(stream, group) for group in groups if group["name"] == GROUP.encode()), None)

    async def ensure_group(self) -> None:
        """It begins with all that is there: what was delivered is known. At a first start before the newest sweep."""
        self._start = BEGINNING
        if self.delivered_id == BEGINNING and not self.waiting:
            async with redis_faults():
                newest = cast("list[tuple[bytes, Any]]", await self._redis.xrevrange(SWEEPS, count=2))
            self._start = newest[1][0].decode() if len(newest) == 2 else BEGINNING
        await super().ensure_group()

    @property
    def news(self) -> str | None:
        """The newest entry that waits, where it is newer than all that was delivered: the one a round may end with."""
        newest = self.waiting[-1] if self.waiting else BEGINNING
        return newest if entry_order(newest) > entry_order(self.delivered_id) else None

    @property
    def late(self) -> str | None:
        """What is to go out before the news: one that may have arrived already, else the oldest."""
        if not self.news:
            return None
        first = self.attempt.entry_id if self.attempt else self.waiting[0]
        return first if first != self.news else None

    async def collect(self, *, block: bool) -> list[Lost]:
        """Take what is new into the group; returns what waited and is no longer there."""
        await self._take_new(block=block)
        lost = await self._look_what_waits()
        while expired := await self._expire():
            lost += expired + await self._look_what_waits()
        return lost

    async def _look_what_waits(self) -> list[Lost]:
        async with redis_faults():
            rows: Any = await self._redis.xpending_range(SWEEPS, GROUP, min="-", max="+", count=MOST_WAITING)
        there = await self._undelivered([row["message_id"].decode() for row in rows])
        gone = sorted(set(self.waiting) - set(there), key=entry_order)
        if there != self.waiting:
            self.waiting = there
            async with self._at_once() as pipe:
                self._remember_waiting(pipe)
        return _lost("deleted", gone)

    async def _expire(self) -> list[Lost]:
        """Give up what retention took while it waited; the group holds on to it, and would for ever.

        What is in flight may have arrived: it is looked for first.
        """
        waited_ms = [entry_order(entry_id)[0] for entry_id in self.waiting]
        if not waited_ms or waited_ms[-1] - waited_ms[0] < RETENTION_MS:
            return []
        async with redis_faults():
            first = cast("list[tuple[bytes, Any]]", await self._redis.xrange(SWEEPS, count=1))
        there = entry_order(first[0][0].decode()) if first else (math.inf, 0)
        in_flight = self.attempt.entry_id if self.attempt else None
        gone = [entry_id for entry_id in self.waiting if entry_order(entry_id) < there and entry_id != in_flight]
        if gone:
            await self.give_up(*gone)
        return _lost("retention", gone)

    async def _take_new(self, *, block: bool) -> None:
        wait_ms = BLOCK_MS if block else None
        while rows := await self.read(">", READ_AT_ONCE, wait_ms):
            wait_ms = None
            if len(rows) < READ_AT_ONCE:
                return

    async def _undelivered(self, pending: list[str]) -> list[str]:
        """Without what was delivered before: the group, or all of Redis, was set back, or lost."""
        old = [e for e in pending if entry_order(e) <= entry_order(self.delivered_id) and e not in self.waiting]
        if old:
            await self._judge_stream()
            old = [e for e in old if entry_order(e) <= entry_order(self.delivered_id)]
        if old:
            await self.acknowledge(*old)
        return [entry_id for entry_id in pending if entry_id not in old]

    async def _judge_stream(self) -> None:
        """One that ends before what was delivered is another, deleted and filled by a clock set back: all of it is new.

        Or Redis was set back, and notes an earlier delivery: what lands from now on is new, by whatever clock.
        """
        async with redis_faults():
            stream = await self._redis.xinfo_stream(SWEEPS)
            noted = read_entry_id(cast("bytes | None", await self._redis.hget(PUBLISHER, "delivered")))
        newest = stream["last-generated-id"].decode()
        if entry_order(newest) < entry_order(self.delivered_id):
            is_set_back = noted is not None and entry_order(noted) < entry_order(self.delivered_id)
            self.delivered_id = newest if is_set_back else BEGINNING

    async def load(self, entry_id: str) -> Entry:
        async with redis_faults():
            rows = cast("list[tuple[bytes, Any]]", await self._redis.xrange(SWEEPS, entry_id, entry_id))
        return sweep_entry(*rows[0]) if rows else sweep_entry(entry_id.encode(), None)

    async def is_newest(self, entry_id: str) -> bool:
        """Whether no later sweep has landed, taken or not."""
        async with redis_faults():
            newest = cast("list[tuple[bytes, Any]]", await self._redis.xrevrange(SWEEPS, count=1))
        return not newest or entry_order(newest[0][0].decode()) <= entry_order(entry_id)

    async def note(self, attempt: Attempt | None, sent: Mapping[str, list[float]] | None = None) -> None:
        """Before a POST: that it is made; after one that certainly had no effect: what was in flight before it.

        ``sent``: all values that may be served of ours; None: as noted before.
        """
        async with self._at_once() as pipe:
            if attempt is None:
                pipe.hdel(PUBLISHER, "attempt")
            else:
                pipe.hset(PUBLISHER, "attempt", msgspec.json.encode(attempt))
            if sent is not None:
                pipe.hset(PUBLISHER, "sent", msgspec.json.encode(sent))
        self.attempt = attempt

    async def finish(
        self,
        attempt: Attempt,
        learned: Mapping[str, str | float],
        served: Mapping[str, Served] | None,
        *,
        keep: bool = False,
    ) -> None:
        """A cycle has ended: all that is to be known of it, in one step. ``keep``: it has to go out again later.

        All POSTs of it but one are duplicates. ``served``: None leaves the last look.
        """
        delivered_id = max(self.delivered_id, attempt.entry_id, key=entry_order)
        self.doubted.discard(attempt.entry_id)
        async with self._at_once() as pipe:
            self._acknowledge(pipe, *[] if keep else [attempt.entry_id])
            pipe.hdel(PUBLISHER, "attempt")
            pipe.hset(PUBLISHER, mapping=dict([("delivered", delivered_id), *learned.items()]))
            if attempt.posts > 1:
                pipe.hincrby(PUBLISHER, "duplicates", attempt.posts - 1)
            replace_hash(pipe, LEFT_OUT, attempt.unpublished())
            if served is not None:
                pipe.delete(SERVED.key)
                SERVED.put(pipe, served)
        self.attempt, self.delivered_id = None, delivered_id

    async def release(self, attempt: Attempt) -> None:
        """It makes way: its entry waits on. All of its POSTs but one are duplicates, whatever becomes of it."""
        self.doubted.add(attempt.entry_id)
        async with self._at_once() as pipe:
            pipe.hdel(PUBLISHER, "attempt")
            pipe.hincrby(PUBLISHER, "duplicates", attempt.posts - 1)
            self._remember_waiting(pipe)
        self.attempt = None

    async def give_up(self, *entry_ids: str) -> None:
        """They will never be delivered."""
        async with self._at_once() as pipe:
            self._acknowledge(pipe, *entry_ids)
            ends = self.attempt is not None and self.attempt.entry_id in entry_ids
            if ends:
                pipe.hdel(PUBLISHER, "attempt")
        if ends:
            self.attempt = None

    async def last_served(self) -> dict[str, Served]:
        return await SERVED.all(self._redis, lambda _: None)  # what is not ours to read counts as unknown

    @asynccontextmanager
    async def _at_once(self) -> AsyncIterator[Pipeline]:
        """Commands that take effect together or not at all, whenever this process is killed."""
        async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
            yield pipe
            await pipe.execute()

    def _acknowledge(self, pipe: Pipeline, *entry_ids: str) -> None:
        self.waiting = [entry_id for entry_id in self.waiting if entry_id not in entry_ids]
        if entry_ids:
            pipe.xack(SWEEPS, GROUP, *entry_ids)
        self._remember_waiting(pipe)

    def _remember_waiting(self, pipe: Pipeline) -> None:
        self.doubted.intersection_update(self.waiting)
        fields = {"waiting": self.waiting, "doubted": sorted(self.doubted)}
        pipe.hset(PUBLISHER, mapping={name: " ".join(entry_ids) for name, entry_ids in fields.items()})


def _lost(cause: str, entry_ids: Sequence[str]) -> list[Lost]:
    return [Lost(cause, len(entry_ids), entry_time(entry_ids[0]), entry_time(entry_ids[-1]))] if entry_ids else []


def trimmed(stream: Mapping[str, Any], group: Mapping[str, Any]) -> Lost | None:
    """What retention took before the group read it.

    Redis counts it since 7.0; before, and of a group made anew that has read nothing, it is reckoned from the time that
    is missing and the pace of the rest.
    """
    last_read = group["last-delivered-id"].decode()
    first, last = stream["first-entry"], stream["last-generated-id"].decode()
    until = first[0].decode() if first else last
    if last_read == BEGINNING or entry_order(until) <= entry_order(last_read):
        return None
    read = group.get("entries-read")
    if read is not None:
        count = stream["entries-added"] - stream["length"] - read
    else:
        pace_ms = (entry_order(last)[0] - entry_order(until)[0]) / max(1, stream["length"] - 1) or 10_000
        count = round((entry_order(until)[0] - entry_order(last_read)[0]) / pace_ms) - bool(first)
    return Lost("retention", count, entry_time(last_read), entry_time(until)) if count > 0 else None
