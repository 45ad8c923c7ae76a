"""Two hosts with all services, Valkey and a Sentinel each, a third with a Sentinel alone; the world outside watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from cli import hosts
from dev.node import require_node
from dev.processes import Child
from dev.redis_server import server_binary
from shared import store
from shared.clock import SystemClock
from tests.chaos.watch import now_ms
from tests.hosts.net import ADDRESSES, WORLD, inside
from tests.hosts.seen import BACKEND, PORTS, Seen, again, exchange_port
from tests.pipeline.harness import KEY, ROOT
from tests.waiting import eventually

SERVICES = ("ws_daemon", "oi_poller", "oi_alerter", "oi_keeper", "publisher")
GUIDE = ROOT / "docs" / "two-hosts.md"


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
    "HISTORY_BACKFILL": "off",
    "LOG_FORMAT": "json",
}


class Rig(Seen):
    """``children`` by host and name. Of the services none is started again by itself."""

    def __init__(self, folder: Path, before: Path | None) -> None:
        super().__init__(folder, store.connect(SETTINGS["REDIS_URL"]))
        self.versions_there = (before or ROOT, ROOT if before else another_version(folder / "another-version"))
        self.trees = dict.fromkeys(("a", "b"), self.versions_there[0])
        self.children: dict[tuple[str, str], Child] = {}

    async def start(self) -> None:
        for host in ("a", "b"):
            exchange = [sys.executable, "-m", "dev.exchange", "--host", WORLD, "--port", str(exchange_port(host))]
            self.child("world", f"exchange-{host}", [*exchange, "--weight-limit", "100000", "--clock-in-values"], {})
        backend = {"PORT": str(BACKEND), "HOST": WORLD, "API_KEY": KEY, "CACHE_MODE": "merge"}
        self.child("world", "backend", [require_node(), "dev/backend/server.mjs"], backend)
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
        env["HISTORY_PATH"] = str(self.folder / f"history-{host}.db")
        env |= {"BINANCE_WS_URL": f"ws://{where}", "BINANCE_REST_URL": f"http://{where}", **of_tree(self.trees[host])}
        self.child(host, name, [sys.executable, "-m", f"services.{name}"], env)

    def start_redis(self, host: str, replica_of: str) -> None:
        folder = self.folder / f"redis-{host}"
        folder.mkdir(exist_ok=True)
        path = folder / "redis.conf"
        if not path.exists():
            path.write_text(f"dir {folder}\nsave ''\n{REDIS_CONF}")
        argv = [server_binary(), str(path), "--loglevel", "notice"]
        if replica_of:
            argv += ["--replicaof", ADDRESSES[replica_of], "6379"]
        self.child(host, "redis", argv, {})

    def start_sentinel(self, host: str) -> None:
        path = self.folder / f"sentinel-{host}.conf"
        if not path.exists():  # else it knows the others, and who is the master
            folder = self.folder / f"sentinel-{host}"
            folder.mkdir()
            path.write_text(SENTINEL_CONF.replace("/var/lib/redis", str(folder)))
        self.child(host, "sentinel", [server_binary(), str(path), "--sentinel"], {})

    def child(self, host: str, name: str, argv: list[str], env: dict[str, str]) -> None:
        child = self.children.get((host, name)) or Child(f"{name}-{host}", argv, env, self.folder)
        child.env = env
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

    async def oi(self, host: str, *arguments: str) -> tuple[int, str]:
        """The operator's command on a host: its exit status, and what it said."""
        argv = inside(host, [sys.executable, "-m", "cli", *arguments])
        env = {**os.environ, "REDIS_URL": SETTINGS["REDIS_URL"], **of_tree(ROOT)}
        child = await asyncio.create_subprocess_exec(*argv, env=env, stdout=PIPE, stderr=STDOUT)
        said, _ = await child.communicate()
        return child.returncode or 0, said.decode()

    async def exchange(self, host: str, fault: dict[str, Any]) -> None:
        """A fault of the exchange as this host sees it."""
        answer = await self.api.post(f"http://{WORLD}:{exchange_port(host)}/control", json=fault)
        assert answer.status_code == 200, answer.text

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

    async def gather_on(self, host: str) -> None:
        """All owners and the master on one host: what the worst fault can hit."""
        if await self.master() != host:
            await self.fail_over()
        for service in SERVICES:
            share = (await self.shares())[service]
            if share.works != f"host-{host}":
                await again(lambda share=share: hosts.ask(self.redis, share, now_ms()))  # type: ignore[misc]
                assert await hosts.until_moved(self.redis, share, SystemClock()) is not None
        await self.whole()


def of_tree(tree: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def another_version(tree: Path) -> Path:
    """The same services, of which every one says that it is another version."""
    for part in ("shared", "services", "cli"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    with (tree / "shared" / "__init__.py").open("a") as module:
        module.write("# another version\n")
    return tree
