"""What waits to be delivered, and what must be known about it after a kill: all of it in Redis.

``oi:sweeps`` is the outbox: every sweep is taken into the consumer group at once and acknowledged when the backend has
it. ``oi:publisher`` remembers the attempt in flight, written before the POST, so that a restart looks before it posts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from services.publisher.attempt import DOUBT, Attempt, Kept, decode_kept, encode_attempt
from shared.clock import iso
from shared.model import Served
from shared.store import LEFT_OUT, PUBLISHER, SERVED, SWEEPS, redis_faults, replace_hash
from shared.sweeplog import BEGINNING, BLOCK_MS, Entry, SweepReader, entry_order, sweep_entry

GROUP = "publisher"
CONSUMER = "publisher"  # fixed, so that a restart finds what it had taken
READ_AT_ONCE = 8


class Pending(NamedTuple):
    sweeps: int
    newest_id: str


class Lost(NamedTuple):
    sweeps: int
    first: str
    last: str


def entry_time(entry_id: str) -> str:
    """When the entry was added, or its id where a hand chose one that no calendar can show."""
    try:
        return iso(entry_order(entry_id)[0])
    except (ValueError, OverflowError, OSError):
        return entry_id


class Outbox:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reader = SweepReader(redis, GROUP, CONSUMER)

    async def open(self) -> Lost | None:
        """Begin where the last process ended; a first start begins at the newest sweep, and leaves history alone.

        Returns what was trimmed away before anybody took it.
        """
        async with redis_faults():
            try:
                groups = await self._redis.xinfo_groups(SWEEPS)
            except ResponseError:  # there is no stream yet; the group is made with it
                return None
            mine = next((group for group in groups if group["name"] == GROUP.encode()), None)
            stream = await self._redis.xinfo_stream(SWEEPS)
            if mine is None:
                await self._begin_at_newest(stream)
                return None
        count = stream["entries-added"] - stream["length"] - (mine["entries-read"] or 0)
        last_read = mine["last-delivered-id"].decode()
        if count <= 0 or last_read == BEGINNING:
            return None
        until = stream["first-entry"][0].decode() if stream["first-entry"] else stream["last-generated-id"].decode()
        return Lost(count, entry_time(last_read), entry_time(until))

    async def _begin_at_newest(self, stream: dict[str, Any]) -> None:
        newest = cast("list[tuple[bytes, Any]]", await self._redis.xrevrange(SWEEPS, count=2))
        start = newest[1][0] if len(newest) == 2 else b"0"
        read = max(0, stream["entries-added"] - 1) if len(newest) == 2 else 0
        await self._redis.xgroup_create(SWEEPS, GROUP, id=start, entries_read=read)

    async def collect(self, *, block: bool) -> Pending:
        """Take what is new into the group; only a few sweeps are in memory at once, however many there are."""
        wait_ms = BLOCK_MS if block else None
        while len(await self._reader.read(">", READ_AT_ONCE, wait_ms)) == READ_AT_ONCE:
            wait_ms = None
        async with redis_faults():
            summary = await self._redis.xpending(SWEEPS, GROUP)
        return Pending(summary["pending"], (summary["max"] or BEGINNING.encode()).decode())

    async def oldest(self) -> Entry | None:
        entries = await self._reader.unacknowledged(1)
        return entries[0] if entries else None

    async def load(self, entry_id: str) -> Entry:
        async with redis_faults():
            rows = cast("list[tuple[bytes, Any]]", await self._redis.xrange(SWEEPS, entry_id, entry_id))
        return sweep_entry(*rows[0]) if rows else sweep_entry(entry_id.encode(), None)

    async def recall(self) -> Kept:
        async with redis_faults():
            stored = cast("dict[bytes, bytes]", await self._redis.hgetall(PUBLISHER))
        return decode_kept(stored)

    async def begin(self, attempt: Attempt, *, again: bool) -> None:
        """Note the attempt before its POST; ``again``: the backend may have had this batch before."""
        async with self._at_once() as pipe:
            pipe.hset(PUBLISHER, "attempt", encode_attempt(attempt))
            if again:
                pipe.hincrby(PUBLISHER, "duplicates", 1)

    async def withdraw(self) -> None:
        """The POST certainly had no effect."""
        async with self._at_once() as pipe:
            pipe.hdel(PUBLISHER, "attempt")

    async def doubt(self, entry_id: str) -> None:
        """It could not be found at the backend; it will be posted again, and counted if it is."""
        async with self._at_once() as pipe:
            pipe.hdel(PUBLISHER, "attempt")
            pipe.hset(PUBLISHER, DOUBT + entry_id, "1")

    async def learn(self, **facts: float | int) -> None:
        async with self._at_once() as pipe:
            pipe.hset(PUBLISHER, mapping={name: str(value) for name, value in facts.items()})

    async def be_patient(self, patience_s: float) -> None:
        """The attempt in flight may still be worked on for so long, counted from when it was posted."""
        attempt = (await self.recall()).attempt
        if attempt:
            await self.begin(msgspec.structs.replace(attempt, patience_s=patience_s), again=False)

    async def finish(self, entry_id: str, post_s: float, post_status: int = 0) -> None:
        """The backend has it: acknowledge and forget the attempt, both or neither."""
        delivered_id = (await self.recall()).delivered_id
        async with self._at_once() as pipe:
            self._acknowledge(pipe, entry_id)
            newest_id = max(entry_id, delivered_id, key=entry_order)
            pipe.hset(PUBLISHER, mapping={"delivered": newest_id, "post_s": post_s, "post_status": post_status})

    async def give_up(self, entry_id: str) -> None:
        """It will never be delivered."""
        async with self._at_once() as pipe:
            self._acknowledge(pipe, entry_id)

    async def report(self, left_out: Mapping[str, str], served: Mapping[str, Served] | None) -> None:
        """What operators read: exactly the last cycle, replaced in one step."""
        async with self._at_once() as pipe:
            replace_hash(pipe, LEFT_OUT, left_out)
            if served is not None:
                pipe.delete(SERVED.key)
                SERVED.put(pipe, served)

    async def last_served(self) -> dict[str, Served]:
        return await SERVED.all(self._redis, lambda _: None)  # what is not ours to read counts as unknown

    @asynccontextmanager
    async def _at_once(self) -> AsyncIterator[Pipeline]:
        """Commands that take effect together or not at all, whenever this process is killed."""
        async with redis_faults(), self._redis.pipeline(transaction=True) as pipe:
            yield pipe
            await pipe.execute()

    def _acknowledge(self, pipe: Pipeline, entry_id: str) -> None:
        pipe.xack(SWEEPS, GROUP, entry_id)
        pipe.hdel(PUBLISHER, "attempt", DOUBT + entry_id)
