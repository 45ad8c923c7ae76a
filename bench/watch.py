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

    landed_ms: int
    started_ms: int
    ended_ms: int
    symbols: int

    @property
    def took_s(self) -> float:
        """First request to last answer."""
        return (self.ended_ms - self.started_ms) / 1000


class Sweeps:
    """Those that land from now on."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._after = "$"

    async def next(self) -> Landed:
        found: Any = await self._redis.xread({SWEEPS: self._after}, count=1, block=120_000)
        if not found:
            raise TimeoutError("no sweep landed")
        rows = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
        entry_id, fields = rows[0]
        self._after = entry_id.decode()
        packed = msgpack.unpackb(fields[FIELD])
        return Landed(int(self._after.split("-")[0]), packed["start"], packed["end"], len(packed["oi"]))


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
