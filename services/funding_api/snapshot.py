"""What all answers are made of: one read of Redis, shared by everybody who asks within `FRESH_S`.

Decoding is pure, and done for what is asked for: a batch wants a third of the marks, and no open interest. Keys are
upper-cased symbols, which is how requests are matched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis

from services.funding_api.metrics import Metrics
from services.funding_api.together import Together
from shared.changes import Changes
from shared.clock import Clock
from shared.errors import Transient, WireError
from shared.model import MarkPrice, Reading, Served
from shared.store import CHANGES, CONTRACTS, MARKS, SERVED, STATUS, redis_faults

FRESH_S = 0.25
HASHES = (MARKS.key, CONTRACTS.key, SERVED.key, STATUS + "ws_daemon", STATUS + "publisher")
Hash = Mapping[bytes, bytes]
T = TypeVar("T")


class Rows(Generic[T]):
    """One hash, each row decoded when first asked for; one that cannot be trusted is as if absent."""

    def __init__(self, rows: Hash, decode: Callable[[str, bytes], T], on_bad: Callable[[WireError], None]) -> None:
        self._raw = {name.upper(): (name, blob) for name, blob in _named(rows, on_bad)}
        self._decode = decode
        self._on_bad = on_bad
        self._items: dict[str, T | None] = {}

    def get(self, symbol: str) -> T | None:
        if symbol not in self._items:
            if symbol not in self._raw:
                return None
            self._items[symbol] = self._decoded(*self._raw[symbol])
        return self._items[symbol]

    @cached_property
    def all(self) -> dict[str, T]:
        return {symbol: item for symbol in self._raw if (item := self.get(symbol)) is not None}

    def _decoded(self, name: str, blob: bytes) -> T | None:
        try:
            return self._decode(name, blob)
        except WireError as e:
            self._on_bad(e)
            return None


def _named(rows: Hash, on_bad: Callable[[WireError], None]) -> Iterator[tuple[str, bytes]]:
    for name, blob in rows.items():
        try:
            yield name.decode(), blob
        except UnicodeDecodeError:
            on_bad(WireError("stored_symbol", f"{name!r:.40}"))


class Snapshot:
    """The hashes named in `HASHES`, in that order."""

    def __init__(self, hashes: Sequence[Hash], on_bad: Callable[[WireError], None]) -> None:
        self._marks, self._contracts, self._served, self._daemon, self._publisher = hashes
        self._on_bad = on_bad

    @cached_property
    def marks(self) -> Rows[MarkPrice]:
        return Rows(self._marks, MARKS.decode, self._on_bad)

    @cached_property
    def contracts(self) -> Rows[Reading]:
        return Rows(self._contracts, CONTRACTS.decode, self._on_bad)

    @cached_property
    def served(self) -> Rows[Served]:
        """By the backend's spelling; empty without the publisher's heartbeat and without its audit: nobody vouches."""
        audits = self._publisher and self._publisher.get(b"verdict") != b"UNAUDITED"
        return Rows(self._served if audits else {}, SERVED.decode, self._on_bad)

    @cached_property
    def daemon(self) -> dict[str, str]:
        """ws_daemon's heartbeat; empty when it has stopped."""
        return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in self._daemon.items()}


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
        begun_s = self._clock.monotonic_s()
        try:
            snapshot = Snapshot(await self._fetch(), self._metrics.bad_in_redis)
        except Transient:
            self._metrics.read_failures.inc()
            raise
        self._metrics.read.observe(self._clock.monotonic_s() - begun_s)
        self._metrics.last_read.set(self._clock.now_ms() / 1000)
        return snapshot

    async def _fetch(self) -> list[Any]:
        async with redis_faults(), self._redis.pipeline(transaction=False) as pipe:
            for key in HASHES:
                pipe.hgetall(key)
            return await pipe.execute()
