"""Two hosts with all services, Valkey and a Sentinel each, a third with a Sentinel alone; the world outside watches."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import httpx
from redis.asyncio import Redis

from cli import hosts
from cli.hosts import Share
from dev.node import require_node
from dev.processes import Child
from dev.redis_server import server_binary
from shared import store
from shared.clock import iso
from shared.errors import Transient, WireError
from shared.sweeplog import Entry, sweep_entry
from tests.chaos.oracle import Bounds, judge
from tests.hosts.net import ADDRESSES, WORLD, inside
from tests.pipeline.harness import KEY
from tests.waiting import eventually

SERVICES = ("ws_daemon", "oi_poller", "oi_alerter", "publisher")
PORTS = {"ws_daemon": 9101, "oi_poller": 9102, "publisher": 9103, "oi_alerter": 9104}
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "two-hosts.md"
EXCHANGE, BACKEND = 18090, 18080


def told(pattern: str) -> str:
    """What the guide says: the rig runs on the configuration that it prints."""
    (found,) = re.findall(pattern, GUIDE.read_text(), re.MULTILINE | re.DOTALL if "END" in pattern else re.MULTILINE)
    return str(found)


REDIS_CONF = told(r"/etc/redis/redis.conf <<'END'\n(.*?)END")
SENTINEL_CONF = told(r"/etc/redis/sentinel.conf <<'END'\n(.*?)END")
SETTINGS = {
    "REDIS_URL": told(r"^REDIS_URL=(.*)$"),
    "BACKEND_URL": f"http://{WORLD}:{BACKEND}",
    "BACKEND_API_KEY": KEY,
    "BACKEND_ALLOW_HTTP": "on",
    "BACKEND_TIMEOUT_SEC": "3",
    "BACKEND_RETRY_MAX_SEC": "2",
    "METRICS_HOST": "0.0.0.0",
    "OI_MAX_REQ_PER_MIN": "60000",
    "LOG_FORMAT": "json",
}


# The default ages, and the beat of the stream and a slow answer: as tests/chaos has it.
BOUNDS = Bounds((15 + 2) * 1000, (60 + 5) * 1000)


class Rig:
    """``children`` by host and name. Of the services none is started again by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: dict[tuple[str, str], Child] = {}
        self.redis = store.connect(SETTINGS["REDIS_URL"])
        self.api = httpx.AsyncClient(timeout=2)

    async def start(self) -> None:
        for host in ("a", "b"):
            exchange = [sys.executable, "-m", "dev.exchange", "--host", WORLD, "--port", str(exchange_port(host))]
            self._child("world", f"exchange-{host}", [*exchange, "--weight-limit", "100000", "--clock-in-values"], {})
        backend = {"PORT": str(BACKEND), "HOST": WORLD, "API_KEY": KEY, "CACHE_MODE": "merge"}
        self._child("world", "backend", [require_node(), "dev/backend/server.mjs"], backend)
        self.start_redis("a", replica_of="")
        self.start_redis("b", replica_of="a")
        for host in ADDRESSES:
            self.start_sentinel(host)
        for host in ("a", "b"):
            self.start_services(host)

    def start_services(self, host: str) -> None:
        for name in SERVICES:
            self.start_service(host, name)

    def start_service(self, host: str, name: str) -> None:
        where = f"{WORLD}:{exchange_port(host)}"
        env = {**SETTINGS, "HOST_ID": f"host-{host}", "METRICS_PORT": str(PORTS[name])}
        env |= {"BINANCE_WS_URL": f"ws://{where}", "BINANCE_REST_URL": f"http://{where}"}
        self._child(host, name, [sys.executable, "-m", f"services.{name}"], env)

    def start_redis(self, host: str, replica_of: str) -> None:
        folder = self.folder / f"redis-{host}"
        folder.mkdir(exist_ok=True)
        path = folder / "redis.conf"
        if not path.exists():
            path.write_text(f"dir {folder}\nsave ''\n{REDIS_CONF}")
        argv = [server_binary(), str(path), "--loglevel", "notice"]
        if replica_of:
            argv += ["--replicaof", ADDRESSES[replica_of], "6379"]
        self._child(host, "redis", argv, {})

    def start_sentinel(self, host: str) -> None:
        path = self.folder / f"sentinel-{host}.conf"
        if not path.exists():  # else it knows the others, and who is the master
            folder = self.folder / f"sentinel-{host}"
            folder.mkdir()
            path.write_text(SENTINEL_CONF.replace("/var/lib/redis", str(folder)))
        self._child(host, "sentinel", [server_binary(), str(path), "--sentinel"], {})

    def _child(self, host: str, name: str, argv: list[str], env: dict[str, str]) -> None:
        child = self.children.get((host, name)) or Child(f"{name}-{host}", argv, env, self.folder)
        child.argv = argv if host == "world" else inside(host, argv)
        child.start()
        self.children[host, name] = child

    async def close(self) -> None:
        for child in self.children.values():
            with contextlib.suppress(AssertionError):
                child.signal(signal.SIGCONT)
                child.kill()
        await self.redis.aclose()
        await self.api.aclose()

    def kill_host(self, host: str) -> None:
        """As a power cut does: everything at once."""
        mine = [child for (where, _), child in self.children.items() if where == host and child.status() is None]
        for child in mine:
            child.signal(signal.SIGKILL)
        for child in mine:
            child.kill()

    async def shares(self) -> dict[str, Share]:
        return {share.service: share for share in await hosts.read(self.redis, _now_ms())}

    async def owner(self, service: str) -> str:
        """``a`` or ``b``; empty while nobody works or that cannot be seen."""
        try:
            return (await self.shares())[service].works.removeprefix("host-")
        except Transient:
            return ""

    async def master(self) -> str:
        pool: Any = self.redis.connection_pool
        address = await pool.get_master_address()
        return next(host for host, where in ADDRESSES.items() if where == address[0])

    async def whole(self) -> None:
        """Both hosts there, every service with a standby, the replica in sync, and cycles verified."""
        await eventually(self._has_standbys, 90, 0.2)
        await eventually(self._in_sync, 60, 0.2)
        await self.verified(_now_ms())

    async def _has_standbys(self) -> bool:
        with contextlib.suppress(Transient):
            return all(share.works and share.standing_by for share in (await self.shares()).values())
        return False

    async def _in_sync(self) -> bool:
        with contextlib.suppress(Exception):
            info: Any = await self.redis.info("replication")
            return bool(info["connected_slaves"] == 1 and info["slave0"]["state"] == "online")
        return False

    async def verified(self, since_ms: int, within_s: float = 60.0) -> float:
        """Seconds from ``since_ms`` to the end of the first cycle that began later and was verified."""

        async def done() -> bool:
            return any([await self._verified_at(host) * 1000 > since_ms for host in ("a", "b")])

        await eventually(done, within_s, 0.1)
        return (_now_ms() - since_ms) / 1000

    async def _verified_at(self, host: str) -> float:
        return await self.metric(host, "publisher", "pipeline_last_verified_timestamp_seconds")

    async def metric(self, host: str, service: str, name: str) -> float:
        """0 where it does not answer, or has no such metric yet."""
        with contextlib.suppress(httpx.HTTPError):
            text = (await self.api.get(f"http://{ADDRESSES[host]}:{PORTS[service]}/metrics", timeout=1)).text
            return sum(
                float(line.rpartition(" ")[2])
                for line in text.splitlines()
                if line.startswith((f"{name} ", f"{name}{{"))
            )
        return 0.0

    async def health(self, host: str, service: str) -> tuple[int, str]:
        with contextlib.suppress(httpx.HTTPError):
            answer = await self.api.get(f"http://{ADDRESSES[host]}:{PORTS[service]}/healthz", timeout=1)
            return answer.status_code, answer.json()["detail"]
        return 0, ""

    async def batches(self, since_ms: int) -> list[dict[str, Any]]:
        answer = await self.api.get(f"http://{WORLD}:{BACKEND}/control/batches", timeout=10)
        found = [batch for batch in answer.json()["batches"] if batch["receivedAt"] >= since_ms]
        return cast("list[dict[str, Any]]", found)

    async def sweeps(self) -> set[str]:
        return {name.decode() for name, _ in cast("Any", await self.redis.xrange("oi:sweeps"))}

    async def undelivered(self, since_ms: int) -> int:
        """Sweeps that landed since, and neither were posted nor wait, the newest two left out."""
        posted = {batch["timestamp"] for batch in await self.batches(since_ms) if batch["stored"]}
        landed = [entry.sweep for entry in await self._entries(since_ms)][:-2]
        return sum(1 for sweep in landed if not isinstance(sweep, WireError) and iso(sweep.ended_ms) not in posted)

    async def wrong_values(self) -> tuple[int, list[str]]:
        """How many rows the backend stored, and why some can be shown false."""
        rows: list[dict[str, Any]] = []
        answer = await self.api.get(f"http://{WORLD}:{BACKEND}/control/rows", params={"limit": 200_000}, timeout=30)
        rows = answer.json()["rows"]
        judged = [judge(row, {}, BOUNDS, frozenset({0})) for row in rows]
        return len(rows), [why for why in judged if why]

    async def _entries(self, since_ms: int) -> list[Entry]:
        rows: Any = await self.redis.xrange("oi:sweeps", min=since_ms + 1000)
        return [sweep_entry(*row) for row in rows]

    async def exchange(self, host: str, fault: dict[str, Any]) -> None:
        """A fault of the exchange as this host sees it."""
        answer = await self.api.post(f"http://{WORLD}:{exchange_port(host)}/control", json=fault)
        assert answer.status_code == 200, answer.text

    async def refused(self, host: str) -> int:
        """Requests that came from this host's address during a ban."""
        answer = await self.api.get(f"http://{WORLD}:{exchange_port(host)}/control")
        return int(answer.json()["weight"]["requests_during_ban"])

    async def sweeps_since(self, since_ms: int) -> list[int]:
        """When sweeps landed whose first request was sent later than this, oldest first."""
        found = [(entry.entry_id, entry.sweep) for entry in await self._entries(since_ms - 1000)]
        begun = [
            (one, sweep) for one, sweep in found if not isinstance(sweep, WireError) and sweep.started_ms > since_ms
        ]
        return [int(entry_id.partition("-")[0]) for entry_id, sweep in begun if sweep.readings]

    async def fail_over(self) -> None:
        async with Redis(host=ADDRESSES["c"], port=26379) as sentinel:
            before = await self.master()
            await cast("Any", sentinel).execute_command("SENTINEL", "FAILOVER", "oi")

        async def moved() -> bool:
            with contextlib.suppress(Exception):
                return await self.master() != before
            return False

        await eventually(moved, 30, 0.2)
        await self.whole()

    def said(self, host: str, service: str, words: str) -> int:
        return self.children[host, service].log.read_text(errors="replace").count(words)


def exchange_port(host: str) -> int:
    """Each host sees the exchange by an address of its own, which counts and bans it apart from the other."""
    return EXCHANGE + ord(host) - ord("a")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def until(condition: Any, within_s: float = 60.0) -> float:
    """Seconds until it holds."""
    begun_s = time.monotonic()
    await eventually(condition, within_s, 0.1)
    return time.monotonic() - begun_s


__all__ = ["Rig", "asyncio", "until"]
