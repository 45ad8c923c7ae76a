"""Checks of what two hosts share: whether they are alike, their clocks, the Sentinels, the replica."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisError

from cli import hosts
from cli.doctor.finding import Finding, Patient
from cli.hosts import SILENT_S, Present
from cli.show import DEGRADED, DOWN, GOOD
from shared.clock import SystemClock
from shared.errors import Transient
from shared.store import redis_faults

CLOCKS_S = 1.0
WATCH_S = 2.5  # longer than from one sign of a process to the next
STEP_S = 0.05
LAG_S = 5.0


async def sharing(p: Patient) -> list[Finding]:
    """Who works and who stands by; what differs between the hosts; their clocks."""
    found = await hosts.read(p.redis, p.seen.now_ms)
    if not hosts.several(found):
        return []
    hop = hosts.hop(found)
    fix = "start the services on the other host, or see what it says: journalctl -u 'oi-*'" if hop.cause else ""
    present = [one for one in await hosts.present(p.redis) if p.seen.now_ms - one.beat_ms < SILENT_S * 1000]
    told = Finding("hosts", hop.state, hop.cause or hop.counts, fix=fix)
    return [told, *differences(present), *clocks(await _offsets(p))]


def differences(present: Iterable[Present]) -> list[Finding]:
    """Versions and settings that are not the same on every host."""
    by_service: dict[str, list[Present]] = defaultdict(list)
    for one in present:
        by_service[one.service].append(one)
    found = []
    for service, mine in by_service.items():
        if len({one.version for one in mine}) > 1:
            which = ", ".join(f"{one.host} {one.version}" for one in mine)
            what = f"{service} is not the same version on every host"
            found.append(Finding("hosts", DEGRADED, what, which, "make install on the other host, too"))
        names = sorted({name for one in mine for name in one.settings})
        differing = [name for name in names if len({one.settings.get(name) for one in mine}) > 1]
        if differing:
            what = f"{service} has other settings on another host"
            found.append(Finding("hosts", DEGRADED, what, ", ".join(differing), "make them alike, and restart it"))
    return found or [Finding("hosts", GOOD, "versions and settings agree")]


async def _offsets(p: Patient) -> dict[str, float]:
    """Host -> by how many seconds its clock is ahead of this machine's, as seen when it signs in anew."""
    clock, ends_s = SystemClock(), time.monotonic() + WATCH_S
    first = {(one.host, one.service): one.beat_ms for one in await hosts.present(p.redis)}
    found: dict[str, float] = {}
    while time.monotonic() < ends_s:
        await clock.sleep(STEP_S)
        for one in await hosts.present(p.redis):
            if one.host not in found and first.get((one.host, one.service), one.beat_ms) != one.beat_ms:
                found[one.host] = (one.beat_ms - clock.now_ms()) / 1000
    return found


def clocks(offsets: Mapping[str, float]) -> list[Finding]:
    if len(offsets) < 2:
        return []
    apart_s = max(offsets.values()) - min(offsets.values())
    which = ", ".join(f"{host} {offset:+.2f} s" for host, offset in sorted(offsets.items()))
    if apart_s > CLOCKS_S:
        what = f"the hosts' clocks are {apart_s:.1f} s apart: a lease may run out early"
        return [Finding("clocks", DEGRADED, what, which, "timedatectl set-ntp true on each")]
    return [Finding("clocks", GOOD, "the hosts' clocks agree", which)]


async def sentinels(p: Patient) -> list[Finding]:
    """Whether a failover could be agreed on."""
    pool: Any = p.redis.connection_pool
    if not isinstance(pool, SentinelConnectionPool):
        return []
    name, answers, silent = pool.service_name, [], []
    for one in pool.sentinel_manager.sentinels:
        try:
            answers.append((await one.sentinel_masters())[name])
        except (RedisError, OSError, KeyError) as e:
            told = one.connection_pool.connection_kwargs
            silent.append(f"{told['host']}:{told['port']} {type(e).__name__}")
    return judged(name, answers, silent)


def judged(name: str, answers: list[Mapping[str, Any]], silent: list[str]) -> list[Finding]:
    total = len(answers) + len(silent)
    told = f"{len(answers)} of {total} answer" + (f"; not {', '.join(silent)}" if silent else "")
    fix = "start the Sentinels that do not answer; each must know of the others"
    quorum = max((int(one["quorum"]) for one in answers), default=0)
    known = min((int(one["num-other-sentinels"]) + 1 for one in answers), default=0)
    if 2 * len(answers) <= total or len(answers) < quorum:
        return [
            Finding("sentinel", DOWN, f"no majority of the Sentinels of {name} answers: nobody may work", told, fix)
        ]
    if len({(one["ip"], one["port"]) for one in answers}) > 1:
        return [Finding("sentinel", DEGRADED, "the Sentinels name different masters", told, "wait for the failover")]
    if silent or known < total or total < 3:
        what = "one Sentinel more that fails, and there is no failover"
        return [Finding("sentinel", DEGRADED, what, f"{told}, each knows of {known}", fix)]
    return [Finding("sentinel", GOOD, f"the Sentinels of {name} agree", f"{told}, quorum {quorum}")]


async def replica(p: Patient) -> list[Finding]:
    """Where there are Sentinels, whether a replica keeps up."""
    if not isinstance(p.redis.connection_pool, SentinelConnectionPool):
        return []
    async with redis_faults():
        info: dict[str, Any] = await p.redis.info("replication")
        options = await _option(p, "min-replicas-to-write")
    found = []
    if options not in {"", "0"}:
        what = "min-replicas-to-write is set: after a failover every write is refused until the old host is back"
        found.append(Finding("replica", DEGRADED, what, options, "CONFIG SET min-replicas-to-write 0, and in the file"))
    replicas = [value for key, value in info.items() if key.startswith("slave") and isinstance(value, dict)]
    online = [one for one in replicas if one.get("state") == "online"]
    if not online:
        found.append(Finding("replica", DEGRADED, "no replica is online: what this Redis holds is nowhere else"))
    for one in online:
        behind = int(info["master_repl_offset"]) - int(one["offset"])
        told = f"{one['ip']}:{one['port']}, {behind} bytes behind, heard of {one['lag']} s ago"
        late = int(one["lag"]) > LAG_S
        found.append(Finding("replica", DEGRADED if late else GOOD, "a replica lags" if late else "replica", told))
    return found


async def _option(p: Patient, name: str) -> str:
    """Empty where the server does not say."""
    try:
        async with redis_faults():
            return str((await p.redis.config_get(name)).get(name, ""))
    except Transient:
        return ""
