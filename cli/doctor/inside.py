"""Checks of this host: settings, Redis, the services' heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from cli.doctor.finding import Finding, Patient
from cli.hops import UNITS, trouble
from cli.show import DEGRADED, DOWN, GOOD, UNKNOWN
from shared.errors import Transient
from shared.history.file import integrity, is_there
from shared.store import redis_faults, server_version, too_old


async def told_settings(p: Patient) -> list[Finding]:
    found = [Finding("settings", GOOD, "settings can be read", p.given.source)]
    for name in p.given.exported:
        what = f"the line `export {name}=` is read by a shell only: nobody else reads it"
        found.append(Finding("settings", DEGRADED, what, p.given.source, "remove the word export"))
    for name, close in p.given.strangers.items():
        hint = f"rename it to {close}" if close else "remove it"
        found.append(Finding("settings", DEGRADED, f"{name} is no setting: nobody reads it", p.given.source, hint))
    return found


async def redis(p: Patient) -> list[Finding]:
    where = p.given.settings.redis_shown
    version = ""
    with contextlib.suppress(Transient):
        version = await server_version(p.redis)
    old = too_old(version)
    if old:
        return [Finding("redis", DOWN, old, where, "upgrade it; no service starts on it")]
    if p.why:
        fix = "start Redis, or correct REDIS_URL; the services go on by themselves once it answers"
        return [Finding("redis", DOWN, "Redis cannot be read", f"{where}: {p.why}", fix)]
    if p.seen.unreadable:
        what = f"{p.seen.unreadable} rows in Redis cannot be read"
        return [Finding("redis", DEGRADED, what, fix="another version or hand wrote them; they are overwritten")]
    return [Finding("redis", GOOD, "Redis answers", f"{where}, version {version}")]


async def keeping(p: Patient) -> list[Finding]:
    """Whether what the services rely on may be thrown away or lost. Most managed servers let nobody ask."""
    async with redis_faults():
        info: dict[str, Any] = await p.redis.info()
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        fix = "CONFIG SET maxmemory-policy noeviction, and in redis.conf"
        found.append(Finding("keeping", DEGRADED, "Redis may throw away what the services rely on", str(policy), fix))
    if not info.get("aof_enabled") and not await _saves(p.redis):
        what = "Redis keeps nothing on disk: the outbox and a ban are lost with it"
        found.append(
            Finding("keeping", DEGRADED, what, "appendonly no, no save points", "appendonly yes in redis.conf")
        )
    return found or [Finding("keeping", GOOD, "Redis keeps what it holds", f"{info.get('used_memory_human')} in use")]


async def _saves(redis: Redis) -> bool:
    """Whether there are save points; True where the server does not say."""
    try:
        async with redis_faults():
            return bool((await redis.config_get("save")).get("save", "?"))
    except Transient:
        return True


async def services(p: Patient) -> list[Finding]:
    found = []
    for service, unit in UNITS.items():
        gone, cause = service not in p.seen.beats, trouble(p.seen, service)
        if not cause or (gone and service == "venue_poller" and not p.given.settings.venues):
            continue  # it does its job, or would do nothing
        state = DOWN if gone and service in {"ws_daemon", "oi_poller", "publisher"} else DEGRADED
        since = "" if gone else f"since {p.seen.fact(service, 'since') or '?'}"
        fix = f"systemctl restart {unit}; journalctl -u {unit}"
        fix = fix if gone else f"docs/runbook.md; journalctl -u {unit} -p warning"
        found.append(Finding(service, state, cause, since, fix))
    return found or [Finding("services", GOOD, f"all {len(UNITS.keys() & p.seen.beats.keys())} services do their job")]


async def history(p: Patient) -> list[Finding]:
    """The whole file of the past, read as SQLite checks it; seconds where a year is in it."""
    keeps = bool(p.why) or "oi_keeper" in p.seen.beats
    found = [await asyncio.to_thread(_examined, p.given.settings.history_path, keeps)]
    differing = p.seen.fact("oi_keeper", "differing")
    if differing:
        what = f"open interest kept of {differing.replace(',', ', ')} differs from the exchange's own statistic"
        fix = "compare GET /history/SYMBOL with openInterestHist; one of the two is wrong"
        compared = f"by more than 0.5 %, of {p.seen.fact('oi_keeper', 'compared')} compared"
        found.append(Finding("history", DEGRADED, what, compared, fix))
    return found


def _examined(path: str, keeps: bool) -> Finding:
    if not keeps and not is_there(path):
        return Finding("history", UNKNOWN, "the past is not kept here", path)
    wrong = integrity(path)
    if wrong:
        fix = "docs/history.md, When the file is damaged"
        return Finding("history", DEGRADED, f"the file is damaged: {wrong[0]}", path, fix)
    size = f"{Path(path).stat().st_size / 1e6:.1f} MB"
    return Finding("history", GOOD, "the file of the past is sound", f"{path}, {size}")
