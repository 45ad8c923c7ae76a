"""``oi:sweeps``: the stream the poller appends to and others read, each through a consumer group of its own.

A group remembers what it has not acknowledged, so a sweep outlives the crash of its reader: that is the outbox.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from shared.codec import decode_sweep, encode_sweep
from shared.errors import Transient, WireError
from shared.model import Sweep
from shared.store import SWEEPS, redis_faults

RETENTION_MS = 3 * 3600 * 1000
BLOCK_MS = 1000
FIELD = b"sweep"
BEGINNING = "0-0"  # before every entry
_ENTRY_ID = re.compile(rb"[0-9]{1,19}-[0-9]{1,19}")
Fields = dict[bytes, bytes]


class Entry(NamedTuple):
    """One stream entry; ``sweep`` is the error instead where the blob could not be trusted."""

    entry_id: str
    sweep: Sweep | WireError


def read_entry_id(blob: bytes | None) -> str | None:
    """The id of an entry as somebody wrote it down; None for anything else."""
    return blob.decode() if blob is not None and _ENTRY_ID.fullmatch(blob) else None


def entry_order(entry_id: str) -> tuple[int, int]:
    """What ids are sorted by: Unix ms, and the number within it."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence)


def append(pipe: Pipeline, sweep: Sweep) -> None:
    pipe.xadd(SWEEPS, {FIELD: encode_sweep(sweep)})


def trim(pipe: Pipeline, now_ms: int, most: int) -> None:
    """Let go of what is older than the retention, and of the oldest beyond ``most`` where clocks were set.

    A command of its own, which a full Redis obeys; as a part of XADD it would be refused with it.
    """
    pipe.xtrim(SWEEPS, minid=f"{max(0, now_ms - RETENTION_MS)}-0", approximate=True)
    pipe.xtrim(SWEEPS, maxlen=most, approximate=True)


class GroupReader:
    """One consumer of one group of a stream. A group that is missing (a first start, an emptied Redis) is created."""

    def __init__(self, redis: Redis, stream: str, group: str, consumer: str, start: str = "0") -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._start = start

    async def ensure_group(self) -> None:
        """Create the group where it is missing; it begins at ``start`` ("0": with all that is still there)."""
        async with redis_faults():
            try:
                await self._redis.xgroup_create(self._stream, self._group, id=self._start, mkstream=True)
            except ResponseError as e:
                if not str(e).startswith("BUSYGROUP"):
                    raise

    async def acknowledge(self, *entry_ids: str) -> None:
        async with redis_faults():
            await self._redis.xack(self._stream, self._group, *entry_ids)

    async def read(self, after: str, count: int, block_ms: int | None = None) -> list[tuple[bytes, Fields | None]]:
        """Rows after ``">"`` (new ones) or ``"0"`` (handed out before); fields are None where the entry was trimmed."""
        try:
            reply = await self._ask(after, count, block_ms)
        except Transient as e:
            if not str(e.__cause__).startswith("NOGROUP"):
                raise
            await self.ensure_group()
            reply = await self._ask(after, count, block_ms)
        return _rows(reply)

    async def _ask(self, after: str, count: int, block_ms: int | None) -> Any:
        async with redis_faults():
            return await self._redis.xreadgroup(
                self._group, self._consumer, {self._stream: after}, count=count, block=block_ms
            )


class SweepReader(GroupReader):
    """The sweeps, decoded."""

    def __init__(self, redis: Redis, group: str, consumer: str, start: str = "0") -> None:
        super().__init__(redis, SWEEPS, group, consumer, start)

    async def unacknowledged(self, count: int) -> list[Entry]:
        """What was handed out before and never acknowledged, oldest first."""
        return [sweep_entry(*row) for row in await self.read("0", count)]

    async def wait(self, count: int, block_ms: int = BLOCK_MS) -> list[Entry]:
        """New entries, oldest first; empty when none came within ``block_ms``."""
        return [sweep_entry(*row) for row in await self.read(">", count, block_ms)]


def _rows(reply: Any) -> list[tuple[bytes, Fields | None]]:
    """redis-py answers a list of pairs under RESP2 and a dict of lists of lists under RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [row for batches in reply.values() for batch in batches for row in batch]
    return [row for _, rows in reply for row in rows]


def sweep_entry(entry_id: bytes, fields: Fields | None) -> Entry:
    name = entry_id.decode()
    try:
        if not fields or FIELD not in fields:  # trimmed while it waited for its reader: the id is all that is left
            raise WireError("trimmed_sweep", name)
        return Entry(name, decode_sweep(fields[FIELD]))
    except WireError as e:
        return Entry(name, e)
