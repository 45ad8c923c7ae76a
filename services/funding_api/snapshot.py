"""What all answers are made of: one read of Redis, shared by everybody who asks within `FRESH_S`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from redis.asyncio import Redis

from services.funding_api.metrics import Metrics
from shared.changes import Changes
from shared.clock import Clock
from shared.errors import Transient, WireError
from shared.model import MarkPrice, Reading, Served
from shared.store import CHANGES, CONTRACTS, MARKS, SERVED, STATUS, Stored, redis_faults
from shared.together import Together

FRESH_S = 0.25
HASHES = (MARKS.key, CONTRACTS.key, SERVED.key, STATUS + "ws_daemon", STATUS + "publisher")
Hash = Mapping[bytes, bytes]
T = TypeVar("T")


class Snapshot:
    """The hashes named in `HASHES`, in that order; each is decoded when it is first asked for.

    Keys are upper-cased symbols, which is how requests are matched. A row that cannot be trusted is as if absent.
    """

    def __init__(self, hashes: Sequence[Hash], on_bad: Callable[[WireError], None]) -> None:
        self._marks, self._contracts, self._served, self._daemon, self._publisher = hashes
        self._on_bad = on_bad

    @cached_property
    def marks(self) -> dict[str, MarkPrice]:
        return self._rows(MARKS, self._marks)

    @cached_property
    def contracts(self) -> dict[str, Reading]:
        return self._rows(CONTRACTS, self._contracts)

    @cached_property
    def served(self) -> dict[str, Served]:
        """By the backend's spelling; empty without the publisher's heartbeat and without its audit: nobody vouches."""
        audits = self._publisher and self._publisher.get(b"verdict") != b"UNAUDITED"
        return self._rows(SERVED, self._served) if audits else {}

    @cached_property
    def daemon(self) -> dict[str, str]:
        """ws_daemon's heartbeat; empty when it has stopped."""
        return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in self._daemon.items()}

    def _rows(self, stored: Stored[T], rows: Hash) -> dict[str, T]:
        return {name.upper(): item for name, item in stored.decoded(rows, self._on_bad).items()}


class Reader:
    """Reads Redis when asked, at most once in `FRESH_S`."""

    def __init__(self, redis: Redis, metrics: Metrics, clock: Clock) -> None:
        self._redis = redis
        self._metrics = metrics
        self._clock = clock
        self._together = Together(self._read, FRESH_S, clock)

    async def latest(self) -> Snapshot:
        """Raises `Transient` while Redis is away."""
        return await self._together.latest()

    async def changes(self) -> dict[str, Changes]:
        """Read for who asks for them. Raises `Transient` while Redis is away."""
        return await CHANGES.all(self._redis, self._metrics.bad_in_redis)

    async def _read(self) -> Snapshot:
        try:
            async with redis_faults(), self._redis.pipeline(transaction=False) as pipe:
                for key in HASHES:
                    pipe.hgetall(key)
                hashes = await pipe.execute()
        except Transient:
            self._metrics.read_failures.inc()
            raise
        self._metrics.last_read.set(self._clock.now_ms() / 1000)
        return Snapshot(hashes, self._metrics.bad_in_redis)
