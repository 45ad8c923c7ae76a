"""What is seen of the services from outside: sweeps as they land in Redis, batches as they reach the backend."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack
from redis.asyncio import Redis

from bench.rig import Rig
from shared.store import SWEEPS
from shared.sweeplog import FIELD


class Landed(NamedTuple):
    """One sweep in the stream; ``landed_ms`` is the clock of Redis when it took the entry, all in Unix ms."""

    entry_id: str
    landed_ms: int
    started_ms: int
    ended_ms: int
    symbols: int

    @property
    def took_s(self) -> float:
        """First request to last answer."""
        return (self.ended_ms - self.started_ms) / 1000


class Sweeps:
    """Reads the stream from the moment it is made."""

    def __init__(self, redis: Redis, after: str = "0") -> None:
        self._redis = redis
        self._after = after

    async def next(self, within_ms: int = 120_000) -> Landed:
        found: Any = await self._redis.xread({SWEEPS: self._after}, count=1, block=min(within_ms, 8000))
        if not found:
            if within_ms <= 8000:
                raise TimeoutError("no sweep landed")
            return await self.next(within_ms - 8000)
        rows = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
        entry_id, fields = rows[0]
        self._after = entry_id.decode()
        packed = msgpack.unpackb(fields[FIELD])
        return Landed(self._after, int(self._after.split("-")[0]), packed["start"], packed["end"], len(packed["oi"]))

    async def skip_to_end(self) -> None:
        """From now on only what lands later."""
        newest: Any = await self._redis.xrevrange(SWEEPS, count=1)
        if newest:
            self._after = newest[0][0].decode()


class Batch(NamedTuple):
    """One POST as the backend logged it, Unix ms."""

    number: int
    received_ms: int
    answered_ms: int
    rows: int


async def batches(rig: Rig, since: int) -> list[Batch]:
    """Those answered with success, oldest first."""
    found = (await rig.get("backend", f"/control/batches?since={since}"))["batches"]
    done = [one for one in found if one["status"] == 200 and one["answeredAt"]]
    return [Batch(one["id"], one["receivedAt"], one["answeredAt"], one["rows"]) for one in done]


async def counter(rig: Rig, service: str, name: str) -> float:
    """Sum of one counter over its labels."""
    async with rig.api.get(rig.origin(service) + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    samples = (line.rpartition(" ") for line in lines if line.startswith(name) and line[len(name)] in " {")
    return sum(float(value) for _, _, value in samples)
