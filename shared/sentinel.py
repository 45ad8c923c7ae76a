"""A Redis behind Sentinels: its URL, and a client that asks them who the master is.

``redis+sentinel://[user:password@]h1:26379,h2:26379,h3:26379/<name>[/db][?options]``, with TLS ``rediss+sentinel://``.
The options are those of a ``redis://`` URL, and ``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

from shared.errors import Transient

SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
PORT = 26379
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")  # Sentinel takes no other
_OURS = {"sentinel_username": "username", "sentinel_password": "password"}


class Behind(NamedTuple):
    """What a URL says. ``redis`` are options of a connection to the master, ``sentinel`` of one to a Sentinel."""

    hosts: tuple[tuple[str, int], ...]
    name: str
    redis: dict[str, Any]
    sentinel: dict[str, Any]
    tls: bool

    @property
    def shown(self) -> str:
        """Without user, password and options."""
        return f"{','.join(map(_shown, self.hosts))}/{self.name}/{self.redis.get('db', 0)}"


def is_behind(url: str) -> bool:
    return url.partition("://")[0].lower() in SCHEMES


def parse(url: str) -> Behind:
    """Raises `ValueError` in words of its own: what a parser quotes may be the password, where it was not encoded."""
    scheme, _, rest = url.partition("://")
    base = SCHEMES[scheme.lower()]
    rest, _, query = rest.partition("?")
    where, _, path = rest.partition("/")
    user, at, hosts = where.rpartition("@")
    name, _, db = path.rstrip("/").partition("/")
    if not _NAME.fullmatch(name):
        raise ValueError("must name the master behind its hosts: h1:26379,h2:26379,h3:26379/name")
    if db and not (db.isascii() and db.isdigit()):
        raise ValueError("behind the master's name there may be the number of a database, and nothing else")
    asked = parse_qsl(query, keep_blank_values=True)
    others = urlencode([(key, value) for key, value in asked if key not in _OURS])
    try:
        redis = dict(parse_url(f"{base}://{user}{at}host/{db}?{others}"))
    except ValueError:
        raise ValueError("its user, password or options cannot be read: are they percent-encoded?") from None
    for of_one in ("host", "connection_class"):
        redis.pop(of_one, None)
    tls = {key: value for key, value in redis.items() if key.startswith("ssl_")}
    sentinel = {**tls, **{_OURS[key]: value for key, value in asked if key in _OURS and value}}
    return Behind(tuple(map(_host, hosts.split(","))), name, redis, sentinel, base == "rediss")


def _host(text: str) -> tuple[str, int]:
    try:
        url = urlsplit(f"redis://{text}")
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError("the host or port of a Sentinel cannot be read") from None
    if not host or url.path or url.fragment:
        raise ValueError("the host of a Sentinel is missing: h1:26379,h2:26379,h3:26379/name")
    return host, PORT if port is None else port


def _shown(host: tuple[str, int]) -> str:
    return f"[{host[0]}]:{host[1]}" if ":" in host[0] else f"{host[0]}:{host[1]}"


class _Sentinels(Sentinel):
    """Says who could not tell in one line; redis-py's own has the representation of every client in it."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        try:
            return cast("tuple[str, int]", await super().discover_master(service_name))
        except MasterNotFoundError as e:
            asked = ",".join(_shown((of["host"], of["port"])) for of in map(_options, self.sentinels))
            raise MasterNotFoundError(f"none of the Sentinels {asked} names a master of {service_name}") from e


def _options(client: Redis) -> dict[str, Any]:
    return client.connection_pool.connection_kwargs


async def require_majority(redis: Redis) -> None:
    """Raise `Transient` unless more than half of the Sentinels name the master that this client writes to.

    A host that was cut off from the others may still reach a master of its own, while the others elect another.
    Without Sentinels there is nothing to ask.
    """
    pool: Any = redis.connection_pool
    if not isinstance(pool, SentinelConnectionPool):
        return
    sentinels: list[Redis] = cast("Any", pool).sentinel_manager.sentinels
    asked = {asyncio.create_task(_master(one, cast("Any", pool).service_name)) for one in sentinels}
    agree, waiting = 0, asked
    try:
        while waiting and 2 * agree <= len(sentinels):  # who is away is not waited for
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            agree += sum(task.result() == cast("Any", pool).master_address for task in done)
    finally:
        for task in waiting:
            task.cancel()
    if 2 * agree <= len(sentinels):
        told = f"{agree} of {len(sentinels)}"
        raise Transient(f"no majority of the Sentinels names the master that is written to: {told}")


async def _master(sentinel: Redis, name: str) -> tuple[str, int] | None:
    try:
        host, port = await cast("Any", sentinel).execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", name)
    except (RedisError, OSError, TimeoutError, TypeError):  # the last: it knows none of that name
        return None
    return host.decode() if isinstance(host, bytes) else host, int(port)


class _Client(Redis):
    """Of the master; with it the clients of the Sentinels end."""

    async def aclose(self, *args: Any, **kwargs: Any) -> None:
        await super().aclose(*args, **kwargs)
        await cast("Any", self.connection_pool).sentinel_manager.aclose()


def client(url: str, prepare: Callable[[Redis], Redis], **options: Any) -> Redis:
    """A client of the master, whoever it is; ``options`` of every connection, also of those to the Sentinels.

    ``prepare`` is done to each client there is.
    """
    behind = parse(url)
    tls = {"ssl": True} if behind.tls else {}
    asking = {**options, "socket_timeout": options["socket_connect_timeout"]}  # one that hangs costs no more than one
    sentinels = _Sentinels(behind.hosts, sentinel_kwargs={**asking, **behind.sentinel, **tls})  # type: ignore[no-untyped-call]
    for one in sentinels.sentinels:
        prepare(one)
    return prepare(
        sentinels.master_for(behind.name, _Client, SentinelConnectionPool, **{**options, **behind.redis, **tls})
    )
