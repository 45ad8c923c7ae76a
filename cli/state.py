"""The pipeline as Redis shows it at one instant: read in one round trip, never written to.

A row that cannot be read costs only itself, and is counted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.agreed import METRICS_PORTS as SERVICES
from shared.ban import ban_key, longest
from shared.changes import Changes
from shared.clock import from_iso
from shared.errors import Transient, WireError
from shared.model import MarkPrice, Member, QuoteVolume, Reading, Served, Sweep
from shared.numbers import LATEST_MS, finite, whole
from shared.store import (
    ALERTS,
    BAN,
    CHANGES,
    CONTRACTS,
    LEFT_OUT,
    MARKS,
    PUBLISHER,
    SERVED,
    STATUS,
    SWEEPS,
    UNIVERSE,
    VOLUMES,
)
from shared.store import redis_faults as faults
from shared.sweeplog import entry_order, read_entry_id, sweep_entry
from shared.venuelines import VENUE_LINES, VENUES, VenueLine

UNAUDITED = "UNAUDITED"  # the publisher's verdict with BACKEND_AUDIT=off
UNVERIFIED = "UNVERIFIED"  # the same where what is served cannot be read
SWEEPS_READ = 20  # an explanation looks this far back for why a symbol failed


class Learnt(NamedTuple):
    """What the publisher remembers of the backend, out of ``oi:publisher``."""

    delivered_ms: int | None = None  # when the newest delivered sweep landed
    max_rows: int = 0  # in one POST; 0: no limit is known
    refused_ms: int = 0  # when one was last too large
    merges: str = "unknown"  # whether a POST adds to what is served: yes, no, unknown
    post_s: float = 0.0
    post_status: int = 0  # of HTTP, its answer; 0: none came back
    alerts_in_doubt: int = 0  # that may have arrived, could not be looked for, and were not sent again


class Snapshot(msgspec.Struct, frozen=True):
    """What Redis holds; empty, but for the time, where it cannot be read.

    Marks: of the universe and of ``wanted``. ``sweeps``: newest first.
    ``served``: by the backend's spelling; empty while nobody audits: what an audit saw before is not what is served.
    """

    now_ms: int
    beats: dict[str, dict[str, str]] = {}
    universe: dict[str, Member] = {}
    marks: dict[str, MarkPrice] = {}
    listed: frozenset[str] = frozenset()  # every symbol with a mark price, traded or not
    contracts: dict[str, Reading] = {}
    volumes: dict[str, QuoteVolume] = {}
    served: dict[str, Served] = {}
    left_out: dict[str, str] = {}
    sweeps: list[Sweep] = []
    ban_ms: int = 0
    learnt: Learnt = Learnt()
    groups: frozenset[str] = frozenset()  # who reads the sweeps
    alerts: int = 0
    alerts_waiting: int = 0
    unreadable: int = 0
    changes: dict[str, Changes] = {}  # as the keeper tells them
    venues: dict[str, VenueLine] = {}  # how other venues stand; empty: none is read

    def fact(self, service: str, name: str) -> str:
        return self.beats.get(service, {}).get(name, "")

    def count(self, service: str, name: str) -> int | None:
        return whole(self.fact(service, name))

    def instant_ms(self, service: str, name: str) -> int | None:
        return _instant(self.count(service, name))

    def age_s(self, ms: int | None) -> float | None:
        """Since that instant, by this machine's clock; never negative."""
        return None if ms is None else max(0.0, (self.now_ms - ms) / 1000)

    @property
    def is_unaudited(self) -> bool:
        return self.fact("publisher", "verdict") == UNAUDITED

    @property
    def is_unseen(self) -> bool:
        """Whether the last cycle saw nothing served: the rows of ``served`` are of an earlier look then."""
        return self.fact("publisher", "verdict") == UNVERIFIED

    @property
    def batch_ms(self) -> int | None:
        """The time of the last batch whose cycle was judged, else of the newest sweep delivered."""
        return stamp_ms(self.fact("publisher", "batch")) or self.learnt.delivered_ms

    @property
    def batch_s(self) -> float | None:
        return self.age_s(self.batch_ms)


def older(age_s: float | None, than_s: float) -> bool:
    """Also where it is not known how old it is."""
    return age_s is None or age_s > than_s


def stamp_ms(text: str) -> int | None:
    try:
        return _instant(from_iso(text))
    except ValueError:
        return None


def _instant(ms: int | None) -> int | None:
    """None too for what no clock shows and no calendar has: a hand, or another version, may have written it."""
    return ms if ms is not None and 0 <= ms < LATEST_MS else None


async def read(redis: Redis, *, wanted: Iterable[str] = (), sweeps: int = 1, egress: str = "") -> Snapshot:
    """Everything at once; raises `Transient` while Redis is away.

    The ban is that of the address by which the poller goes; ``egress``: by which it would go from here.
    """
    async with faults(), redis.pipeline(transaction=False) as pipe:
        for service in SERVICES:
            pipe.hgetall(STATUS + service)
        for key in (UNIVERSE.key, MARKS.key, CONTRACTS.key, SERVED.key, LEFT_OUT, PUBLISHER, CHANGES.key, VENUES):
            pipe.hgetall(key)
        names = [*wanted]
        pipe.hmget(VOLUMES.key, names or [""])
        pipe.xrevrange(SWEEPS, count=sweeps)
        pipe.mget(ban_key(egress), BAN)
        pipe.xinfo_groups(SWEEPS)
        pipe.xlen(ALERTS)
        pipe.xinfo_groups(ALERTS)
        replies = [_checked(reply) for reply in await pipe.execute(raise_on_error=False)]
    seen = _snapshot(replies, names, time.time_ns() // 1_000_000)
    other = seen.fact("oi_poller", "egress")
    if other in {"", egress}:
        return seen
    async with faults():
        return msgspec.structs.replace(seen, ban_ms=_ban_ms(await redis.mget(ban_key(other), BAN), seen.now_ms))


def _ban_ms(kept: Iterable[Any], now_ms: int) -> int:
    """Until when nothing may be sent; 0: there is no ban now. One that was typed by hand may be of any length."""
    until_ms = min(longest(kept), LATEST_MS - 1)
    return until_ms if until_ms > now_ms else 0


def _checked(reply: Any) -> Any:
    if isinstance(reply, ResponseError) and "no such key" in str(reply).lower():
        return []
    if isinstance(reply, RedisError):
        raise reply
    return reply


def _snapshot(replies: list[Any], names: list[str], now_ms: int) -> Snapshot:
    answers, bad = iter(replies), list[WireError]()
    beats = {service: texts(fields) for service, fields in zip(SERVICES, answers, strict=False) if fields}
    universe, marks, contracts, served, left_out, publisher, changes, venues, volumes, *others = answers
    entries, ban, groups, alerts, readers = others
    stands = VENUE_LINES.decoded(venues, bad.append)
    members = UNIVERSE.decoded(universe, bad.append)
    asked = {name.encode(): blob for name, blob in zip(names, volumes, strict=False) if blob is not None}
    return Snapshot(
        now_ms=now_ms,
        beats=beats,
        universe=members,
        marks=MARKS.decoded(marks, bad.append, only={*members, *names}),
        listed=frozenset(name.decode(errors="replace") for name in marks),
        contracts=CONTRACTS.decoded(contracts, bad.append),
        volumes=VOLUMES.decoded(asked, bad.append),
        served={} if beats.get("publisher", {}).get("verdict") == UNAUDITED else SERVED.decoded(served, bad.append),
        left_out=texts(left_out),
        sweeps=[sweep for row in entries for sweep in (sweep_entry(*row).sweep,) if isinstance(sweep, Sweep)],
        ban_ms=_ban_ms(ban, now_ms),
        learnt=_learnt(texts(publisher)),
        changes=CHANGES.decoded(changes, bad.append),
        groups=frozenset(group["name"].decode() for group in groups),
        alerts=int(alerts),
        alerts_waiting=sum(int(reader["pending"]) + int(reader.get("lag") or 0) for reader in readers),
        unreadable=len(bad),
        venues=stands,
    )


def texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}


def _learnt(fields: Mapping[str, str]) -> Learnt:
    def number(name: str) -> float:
        with contextlib.suppress(ValueError):
            return float(finite(fields.get(name, "0")))
        return 0.0

    delivered = read_entry_id(fields.get("delivered", "").encode())
    return Learnt(
        delivered_ms=_instant(entry_order(delivered)[0]) if delivered else None,
        max_rows=int(number("max_rows")),
        refused_ms=_instant(int(number("refused_ms"))) or 0,
        merges=fields.get("merges", "unknown"),
        post_s=number("post_s"),
        post_status=int(number("post_status")),
        alerts_in_doubt=int(number("alerts_in_doubt")),
    )


async def read_or_why(redis: Redis, **options: Any) -> tuple[Snapshot, str]:
    """The snapshot; or an empty one, and why Redis cannot be read."""
    try:
        return await read(redis, **options), ""
    except Transient as e:
        return Snapshot(now_ms=time.time_ns() // 1_000_000), str(e)
