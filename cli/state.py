"""The pipeline as Redis shows it at one instant: read in one round trip, never written to.

A row that cannot be read costs only itself, and is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.agreed import METRICS_PORTS as SERVICES
from shared.ban import ban_key
from shared.clock import from_iso
from shared.codec import decode_mark, decode_member, decode_reading, decode_served, decode_volume
from shared.errors import Transient, WireError
from shared.model import MarkPrice, Member, QuoteVolume, Reading, Served, Sweep
from shared.proxy import Proxy
from shared.store import ALERTS, CONTRACTS, LEFT_OUT, MARKS, PUBLISHER, SERVED, STATUS, SWEEPS, UNIVERSE, VOLUMES
from shared.store import redis_faults as faults
from shared.sweeplog import sweep_entry

T = TypeVar("T")
SWEEPS_READ = 20  # an explanation looks this far back for why a symbol failed
Beat = Mapping[str, str]


class Learnt(NamedTuple):
    """What the publisher remembers of the backend, out of ``oi:publisher``."""

    delivered_ms: int | None  # when the newest delivered sweep landed
    in_flight: bool
    max_rows: int
    max_rows_ms: int
    replaces: bool
    post_s: float
    post_status: int  # of HTTP, its answer; 0: none came back
    duplicates: int
    alerts_in_doubt: int = 0  # that may have arrived, could not be looked for, and were not sent again


class Group(NamedTuple):
    pending: int
    lag: int


class Snapshot(msgspec.Struct, frozen=True):
    """Marks: of the universe and of ``wanted``. ``served``: by the backend's spelling. ``sweeps``: newest first."""

    now_ms: int
    beats: dict[str, Beat]
    universe: dict[str, Member]
    marks: dict[str, MarkPrice]
    listed: frozenset[str]  # every symbol with a mark price, traded or not
    contracts: dict[str, Reading]
    volumes: dict[str, QuoteVolume]
    served: dict[str, Served]
    left_out: dict[str, str]
    sweeps: list[Sweep]
    ban_ms: int
    learnt: Learnt
    groups: dict[str, Group]
    alerts: int
    alerts_waiting: int
    unreadable: int

    def fact(self, service: str, name: str) -> str:
        return self.beats.get(service, {}).get(name, "")

    def age_s(self, ms: int | None) -> float | None:
        """Since that instant, by this machine's clock; never negative."""
        return None if ms is None else max(0.0, (self.now_ms - ms) / 1000)

    @property
    def batch_ms(self) -> int | None:
        """The time of the last batch whose cycle was judged, else of the newest sweep delivered."""
        return stamp_ms(self.fact("publisher", "batch")) or self.learnt.delivered_ms


def stamp_ms(text: str) -> int | None:
    try:
        return from_iso(text)
    except ValueError:
        return None


async def read(redis: Redis, *, wanted: Iterable[str] = (), sweeps: int = 1, proxy: Proxy | None = None) -> Snapshot:
    """Everything at once, the ban of the proxy's address where there is one; raises `Transient` while Redis is away."""
    async with faults(), redis.pipeline(transaction=False) as pipe:
        for service in SERVICES:
            pipe.hgetall(STATUS + service)
        for key in (UNIVERSE.key, MARKS.key, CONTRACTS.key, SERVED.key, LEFT_OUT, PUBLISHER):
            pipe.hgetall(key)
        names = [*wanted]
        pipe.hmget(VOLUMES.key, names or [""])
        pipe.xrevrange(SWEEPS, count=sweeps)
        pipe.get(ban_key(proxy))
        pipe.xinfo_groups(SWEEPS)
        pipe.xlen(ALERTS)
        pipe.xinfo_groups(ALERTS)
        replies = [_checked(reply) for reply in await pipe.execute(raise_on_error=False)]
    return _snapshot(replies, names, time.time_ns() // 1_000_000)


def _checked(reply: Any) -> Any:
    if isinstance(reply, ResponseError) and "no such key" in str(reply).lower():
        return []
    if isinstance(reply, RedisError):
        raise reply
    return reply


def _snapshot(replies: list[Any], names: list[str], now_ms: int) -> Snapshot:
    beats = [_texts(fields) for fields in replies[: len(SERVICES)]]
    universe, marks, contracts, served, left_out, publisher = replies[len(SERVICES) : len(SERVICES) + 6]
    volumes, entries, ban, groups, alerts, alert_groups = replies[len(SERVICES) + 6 :]
    bad: list[WireError] = []
    members = _rows(universe, decode_member, bad)
    shown = {name.encode() for name in (*members, *names)}
    kept_ms = int(ban) if ban and ban.isdigit() and len(ban) < 16 else 0
    return Snapshot(
        now_ms=now_ms,
        beats={name: beat for name, beat in zip(SERVICES, beats, strict=True) if beat},
        universe=members,
        marks=_rows({name: blob for name, blob in marks.items() if name in shown}, decode_mark, bad),
        listed=frozenset(name.decode(errors="replace") for name in marks),
        contracts=_rows(contracts, decode_reading, bad),
        volumes=_rows(
            {n.encode(): b for n, b in zip(names, volumes, strict=False) if b is not None}, decode_volume, bad
        ),
        served=_rows(served, decode_served, bad),
        left_out=_texts(left_out),
        sweeps=[sweep for row in entries for sweep in (sweep_entry(*row).sweep,) if isinstance(sweep, Sweep)],
        ban_ms=kept_ms if kept_ms > now_ms else 0,
        learnt=_learnt(publisher),
        groups={g["name"].decode(): Group(int(g["pending"]), int(g.get("lag") or 0)) for g in groups},
        alerts=int(alerts),
        alerts_waiting=sum(int(g["pending"]) + int(g.get("lag") or 0) for g in alert_groups),
        unreadable=len(bad),
    )


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}


def _rows(rows: Mapping[bytes, bytes], decode: Callable[[str, bytes], T], bad: list[WireError]) -> dict[str, T]:
    found: dict[str, T] = {}
    for name, blob in rows.items():
        symbol = name.decode(errors="replace")
        try:
            found[symbol] = decode(symbol, blob)
        except WireError as e:
            bad.append(e)
    return found


def _learnt(fields: Mapping[bytes, bytes]) -> Learnt:
    def number(name: bytes) -> float:
        try:
            return float(fields.get(name, b"0"))
        except ValueError:
            return 0.0

    delivered = fields.get(b"delivered", b"").partition(b"-")[0]
    return Learnt(
        delivered_ms=int(delivered) if delivered.isdigit() and len(delivered) < 16 else None,
        in_flight=b"attempt" in fields,
        max_rows=int(number(b"max_rows")),
        max_rows_ms=int(number(b"max_rows_ms")),
        replaces=number(b"replaces") == 1,
        post_s=number(b"post_s"),
        post_status=int(number(b"post_status")),
        duplicates=int(number(b"duplicates")),
        alerts_in_doubt=int(number(b"alerts_in_doubt")),
    )


async def read_or_none(redis: Redis, **options: Any) -> tuple[Snapshot | None, str]:
    """The snapshot, or None and why there is none."""
    try:
        return await read(redis, **options), ""
    except Transient as e:
        return None, str(e)
