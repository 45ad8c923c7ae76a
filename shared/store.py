"""Redis, the meeting place: every key, and who reads and writes it how.

Faults of Redis (away, slow, wedged, loading, read-only, full) leave here as `Transient`, once, without redis-py's own
retries: its default policy turns a one-second timeout into fifteen.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from shared import codec, sentinel
from shared.changes import Changes, decode_changes, encode_changes
from shared.codec import MarkText
from shared.dial import dial
from shared.errors import UNREADABLE, UNWRITABLE, SettingsError, Transient, WireError
from shared.model import MarkPrice, Member, QuoteVolume, Reading, Served

T = TypeVar("T")

SWEEPS = "oi:sweeps"  # stream, written by oi_poller: history for the alerter, outbox for the publisher
ALERTS = "oi:alerts"  # stream, written by oi_alerter
LEFT_OUT = "oi:left_out"  # hash symbol -> reason, written by publisher
PUBLISHER = "oi:publisher"  # hash: what the publisher must remember across a kill, written by publisher
ALERTER = "oi:alerter"  # hash: latches, cooldowns and the last sweep looked at, written by oi_alerter
STATISTICS = "oi:statistics"  # + :egress + :minute: requests of openInterestHist, by whoever asks; expires
BAN = "oi:ban"  # + :egress: string, Unix ms, expires with the ban
STATUS = "oi:status:"  # + service: hash, expires when the heartbeat stops
LEASE = "oi:lease:"  # + service: the process that does its work, expires when it does not renew it
FENCE = "oi:fence:"  # + service: number of the last taking of that lease, and by which process
HANDOVER = "oi:handover:"  # + service: hash, how that work last went from one host to another
HOSTS = "oi:hosts"  # hash host and service -> JSON: every process, also those that stand by

CONNECT_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 2.0  # longer than any blocking read, shorter than anyone's patience
WRONG_SERVER = (ReadOnlyError, MasterDownError, BusyLoadingError)
LEAST_VERSION = (6, 2)  # MINID of XADD


class _Connection(AbstractConnection):
    """What redis-py's own connections lack; mixed into the kind that the URL asks for."""

    pool: ConnectionPool

    def pack_command(self, *args: Any) -> list[bytes]:
        """By hiredis, as redis-py's synchronous client does it; here that is half of a frame's write."""
        return [hiredis.pack_command((*args[0].encode().split(), *args[1:]))]  # such as "XINFO GROUPS"

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """A reply, or its error. One that tells of the wrong server ends all connections, to look up the right one.

        After a failover the server that was the primary lives on as a replica: it keeps its connections, and would
        answer READONLY on them for ever, while the address leads elsewhere by now.
        """
        try:
            return await super().read_response(*args, **options)
        except RedisError as e:
            by_sentinel = isinstance(e.__context__, ReadOnlyError)  # redis-py puts a word of its own in its place
            if by_sentinel or isinstance(e, WRONG_SERVER) or str(e).startswith("UNBLOCKED"):
                await _reconnect(self.pool)
            raise


class _OverTcp(_Connection):
    """Connects to whichever address of the name answers first; redis-py tries one after the other."""

    _socket: socket.socket

    def _connection_arguments(self) -> dict[str, Any]:
        wanted = dict(super()._connection_arguments())  # type: ignore[misc]  # of redis-py's Connection, beside us
        del wanted["port"]
        name = wanted.pop("host")
        return {**wanted, "sock": self._socket, **({"server_hostname": name} if "ssl" in wanted else {})}

    async def _connect(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._socket = await dial(self.host, self.port)  # type: ignore[attr-defined]
            await super()._connect()  # type: ignore[safe-super, no-untyped-call]


async def _reconnect(pool: ConnectionPool) -> None:
    """Idle connections end now, those in use when they are given back: their other replies are still to be read."""
    for connection in pool._in_use_connections:
        connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
    await pool.disconnect(inuse_connections=False)


def connect(url: str) -> Redis:
    """A client that fails fast and leaves waiting to the loops, which know what they wait for."""
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": REPLY_TIMEOUT_S,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": 8,
        "driver_info": None,  # CLIENT is refused to many a user, and two trips of each connection
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if sentinel.is_behind(url):
        return sentinel.client(url, _with_ours, **options)
    return _with_ours(Redis.from_url(url, **options))


def _with_ours(redis: Redis) -> Redis:
    pool = redis.connection_pool
    ours = _OverTcp if issubclass(pool.connection_class, Connection) else _Connection
    pool.connection_class = type("_Mixed", (ours, pool.connection_class), {"pool": pool})
    return redis


async def server_version(redis: Redis) -> str:
    """What the server says it is, such as ``6.2.14``; asked by HELLO, which every user may say. Raises `Transient`."""
    try:
        async with redis_faults():
            reply = await cast("Any", redis).execute_command("HELLO")
    except Transient as e:
        if "unknown command" in str(e) and "HELLO" in str(e):
            return "5 or older"  # it came with Redis 6
        raise
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=False))
    return str(fields.get(b"version", b"?").decode())


def too_old(version: str) -> str:
    """Why a server of this version will not do; empty when it will, or says nothing that can be compared."""
    parts = re.findall(r"[0-9]{1,6}", version)[:2]
    if not parts or tuple(int(part) for part in parts) >= LEAST_VERSION:
        return ""
    return f"Redis {version} is there, and {'.'.join(map(str, LEAST_VERSION))} or newer is needed, or Valkey"


async def require_version(redis: Redis) -> None:
    """Raise `SettingsError` if the server is too old to work with, `Transient` while it cannot be asked."""
    why = too_old(await server_version(redis))
    if why:
        raise SettingsError(f"REDIS_URL: {why}")


@asynccontextmanager
async def redis_faults() -> AsyncIterator[None]:
    """Turn whatever Redis or the way to it did wrong into `Transient`.

    redis-py sends through `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes as it ends:
    a SIGTERM unheard. What was lost is raised here.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    fault: Transient | None = None
    try:
        yield
    except (RedisError, OSError, TimeoutError, UnicodeError) as e:  # the last: a host name that cannot be one
        fault = Transient(f"Redis: {type(e).__name__}: {e}")
        fault.__cause__ = e
    if task and task.cancelling() > asked:
        raise asyncio.CancelledError
    if fault:
        raise fault


def is_full(error: Transient) -> bool:
    """Whether Redis refused a write for want of memory (maxmemory, and a policy that evicts nothing)."""
    return isinstance(error.__cause__, OutOfMemoryError)


@asynccontextmanager
async def round_trip(redis: Redis) -> AsyncIterator[Pipeline]:
    """Collect commands and send them as one pipeline, not a transaction, on leaving the block."""
    async with redis_faults(), redis.pipeline(transaction=False) as pipe:
        yield pipe
        await pipe.execute()


class Stored(Generic[T]):
    """A hash symbol -> one-line JSON. ``put`` and ``drop`` only queue on a pipeline, so that writes share a trip."""

    def __init__(self, key: str, encode: Callable[[T], bytes], read: Callable[[str, bytes], T]) -> None:
        self.key = key
        self.encode = encode
        self._read = read
        self._reason = f"stored_{key.split(':')[1]}"

    def decode(self, symbol: str, blob: bytes) -> T:
        """Raises `WireError` that names the row."""
        try:
            return self._read(symbol, blob)
        except UNREADABLE as e:
            raise WireError(self._reason, f"{self.key} {symbol}: {e}") from e

    def put(self, pipe: Pipeline, items: Mapping[str, T], on_bad: Callable[[WireError], None] | None = None) -> None:
        """Each item that cannot be encoded goes to ``on_bad``, and costs only itself; without one it raises."""
        rows: list[str | bytes] = []
        for symbol, item in items.items():
            try:
                rows += (symbol, self.encode(item))
            except UNWRITABLE as e:
                error = WireError("unwritable", f"{self.key} {symbol}: {e}")
                if on_bad is None:
                    raise error from e
                on_bad(error)
        if rows:
            pipe.hset(self.key, items=rows)

    def drop(self, pipe: Pipeline, symbols: Iterable[str]) -> None:
        names = list(symbols)
        if names:
            pipe.hdel(self.key, *names)

    async def symbols(self, redis: Redis) -> set[str]:
        async with redis_faults():
            return {name.decode(errors="replace") for name in cast("list[bytes]", await redis.hkeys(self.key))}

    async def all(
        self, redis: Redis, on_bad: Callable[[WireError], None], only: Container[str] | None = None
    ) -> dict[str, T]:
        """Every row that can be trusted, in one HGETALL; each other row goes to ``on_bad``, and costs only itself.

        ``only`` names those that are wanted: the others are not looked at.
        """
        async with redis_faults():
            rows = cast("dict[bytes, bytes]", await redis.hgetall(self.key))
        return self.decoded(rows, on_bad, only)

    def decoded(
        self, rows: Mapping[bytes, bytes], on_bad: Callable[[WireError], None], only: Container[str] | None = None
    ) -> dict[str, T]:
        """The same of rows that are here already."""
        items: dict[str, T] = {}
        for name, blob in rows.items():
            try:
                symbol = name.decode()
                if only is None or symbol in only:
                    items[symbol] = self.decode(symbol, blob)
            except UnicodeDecodeError:
                on_bad(WireError("stored_symbol", f"{self.key} {name!r:.40}"))
            except WireError as e:
                on_bad(e)
        return items


MARKS: Stored[MarkPrice] = Stored("oi:mark", codec.encode_mark, codec.decode_mark)
MARK_TEXTS: Stored[MarkText] = Stored(MARKS.key, codec.encode_mark_text, codec.decode_mark_text)  # for its writer
VOLUMES: Stored[QuoteVolume] = Stored("oi:volume", codec.encode_volume, codec.decode_volume)
UNIVERSE: Stored[Member] = Stored("oi:universe", codec.encode_member, codec.decode_member)
SERVED: Stored[Served] = Stored("oi:served", codec.encode_served, codec.decode_served)  # by the backend's spelling
CONTRACTS: Stored[Reading] = Stored("oi:contracts", codec.encode_reading, codec.decode_reading)
CHANGES: Stored[Changes] = Stored("oi:changes", encode_changes, decode_changes)  # written by oi_keeper


def replace_hash(pipe: Pipeline, key: str, mapping: Mapping[str, str | bytes]) -> None:
    """Make the hash hold exactly this; rows of the last time do not linger."""
    pipe.delete(key)
    if mapping:
        pipe.hset(key, mapping=dict(mapping.items()))
