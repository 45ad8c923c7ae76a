"""The hosts that share the work: who does what, who stands by, and how it last changed hands. Pure to `told`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from rich.table import Table
from rich.text import Text

from cli import show
from cli.show import DEGRADED, DOWN, GOOD, STYLE, Hop
from cli.state import texts
from shared.agreed import METRICS_PORTS
from shared.clock import Clock
from shared.errors import Refused, Transient
from shared.heartbeat import read_sign
from shared.store import HANDOVER, HOSTS, LEASE, redis_faults

SHARED = tuple(service for service in METRICS_PORTS if service != "funding_api")  # each works on one host at a time
MOVED_WITHIN_S = 20.0
SILENT_S = 10.0  # since its last sign, before a process counts as gone


class Present(NamedTuple):
    """One process, as it last signed in. ``standby`` is empty where it works."""

    host: str
    service: str
    beat_ms: int
    standby: str
    version: str
    settings: dict[str, str]


class Share(msgspec.Struct, frozen=True, rename="camel"):
    """One service: who works, who stands by, who was here and is silent, and the last handover, empty before any."""

    service: str
    works: str
    standing_by: list[str]
    silent: list[str]
    handover: dict[str, str]


def signed_in(rows: Mapping[bytes, bytes]) -> list[Present]:
    """A row that cannot be read is left out: another version wrote it, and signs in again in two seconds."""
    found = []
    for name, blob in rows.items():
        host, _, service = name.decode(errors="replace").partition(" ")
        sign = read_sign(blob)
        if sign is not None:
            found.append(Present(host, service, sign.beat, sign.standby, sign.version, sign.settings))
    return sorted(found, key=lambda present: (present.service, present.host))


def shares(
    present: Iterable[Present],
    leases: Mapping[str, bytes | None],
    handovers: Mapping[str, Mapping[str, str]],
    now_ms: int,
) -> list[Share]:
    found, all_present = [], list(present)
    for service in SHARED:
        mine = [one for one in all_present if one.service == service]
        silent = [one.host for one in mine if now_ms - one.beat_ms > SILENT_S * 1000]
        works = (leases.get(service) or b"").decode(errors="replace").partition(" ")[0]
        if not (mine or works):  # it is not used here
            continue
        standing_by = [one.host for one in mine if one.standby and one.host not in silent and one.host != works]
        told = handovers.get(service, {})
        last = told if {"before", "now", "cause", "at"} <= told.keys() else {}
        found.append(Share(service, works, standing_by, [host for host in silent if host != works], dict(last)))
    return found


def several(found: Iterable[Share]) -> bool:
    """Whether a service is on more than one host, or was within the hour."""
    return any(len({share.works, *share.standing_by, *share.silent} - {""}) > 1 for share in found)


def hop(found: list[Share]) -> Hop:
    idle = [share.service for share in found if not share.works]
    lonely = [share.service for share in found if share.works and not share.standing_by]
    gone = sorted({host for share in found for host in share.silent})
    counts = f"{len(found) - len(idle) - len(lonely)} of {len(found)} services work and have a standby"
    causes = [f"nobody works: {', '.join(idle)}"] if idle else []
    causes += [f"no standby: {', '.join(lonely)}"] if lonely else []
    causes += [f"silent: {', '.join(gone)}"] if gone and causes else []
    state = DOWN if idle else DEGRADED if lonely else GOOD
    return Hop("hosts", state, counts=counts, cause="; ".join(causes))


def table(found: list[Share]) -> Table:
    shown = show.plain_table()
    for column in ("service", "works", "stands by", "last handover"):
        shown.add_column(column, overflow="fold")
    for share in found:
        others = Text(", ".join(share.standing_by) or "nobody", "" if share.standing_by else STYLE[DEGRADED])
        if share.silent:
            others.append(f"; silent: {', '.join(share.silent)}", STYLE[DEGRADED])
        works = Text(share.works or "nobody", "" if share.works else STYLE[DOWN])
        shown.add_row(Text(share.service), works, others, Text(told(share.handover)))
    return shown


def told(handover: Mapping[str, str]) -> str:
    """``12:03:11 host-a to host-b, stopped, 0.4 s without an owner``"""
    if not handover:
        return "none yet"
    without = handover.get("without_s")
    gap = f", {without} s without an owner" if without else ""
    return f"{show.clock(handover['at'])} {handover['before']} to {handover['now']}, {handover['cause']}{gap}"


async def present(redis: Redis) -> list[Present]:
    """Raises `Transient`."""
    async with redis_faults():
        return signed_in(cast("dict[bytes, bytes]", await redis.hgetall(HOSTS)))


async def read(redis: Redis, now_ms: int) -> list[Share]:
    """Raises `Transient`."""
    async with redis_faults(), redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(HOSTS)
        for service in SHARED:
            pipe.get(LEASE + service)
            pipe.hgetall(HANDOVER + service)
        rows, *answers = await pipe.execute()
    handovers = {service: texts(told) for service, told in zip(SHARED, answers[1::2], strict=True)}
    return shares(signed_in(rows), dict(zip(SHARED, answers[::2], strict=True)), handovers, now_ms)


async def ask(redis: Redis, share: Share, now_ms: int) -> None:
    """Ask the owner to give its work away. Raises `Refused` where nobody would take it."""
    if not share.works or not share.standing_by:
        who = f"{share.works} works" if share.works else "nobody works"
        raise Refused(f"{share.service}: {who}, and no other host stands by")
    async with redis_faults():
        wish = {"asked": str(now_ms), "of": share.works, "because": "asked"}
        await redis.hset(HANDOVER + share.service, mapping=dict(wish.items()))


async def until_moved(redis: Redis, before: Share, clock: Clock) -> Share | None:
    """The share once another host works; None when none does in time."""
    ends_s = clock.monotonic_s() + MOVED_WITHIN_S
    while clock.monotonic_s() < ends_s:
        await clock.sleep(0.1)
        with contextlib.suppress(Transient):
            for now in await read(redis, clock.now_ms()):
                if now.service == before.service and now.works not in {"", before.works}:
                    return now
    return None


def require(found: Iterable[Share], service: str) -> list[Share]:
    """The shares that a name on the command line means. Raises `Transient` where it means none."""
    if service not in {"all", *SHARED}:
        raise Transient(f"{service} is none of {', '.join(SHARED)} or all")
    chosen = [share for share in found if service in {"all", share.service}]
    if not chosen:
        raise Transient(f"{service}: nobody has signed in on any host")
    return chosen
