"""The real processes, a real Redis, the exchange stand-in and the Node backend, on free ports of the loopback."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dev.node import require_node
from dev.processes import Child, stop_all
from dev.redis_server import free_port, server_command
from shared import store
from shared.agreed import METRICS_PORTS
from shared.clock import iso
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-must-never-be-seen"
STAND_INS = ("redis", "exchange", "backend")
SERVICES = ("ws_daemon", "oi_poller", "publisher")


class Pipeline:
    """Children by name in ``self[name]``; ``api`` talks to the stand-ins, ``redis`` to Redis."""

    def __init__(self, folder: Path, cache_mode: str = "merge", redis_binary: str = "", **env: str) -> None:
        self.ports = {name: free_port() for name in (*STAND_INS, "venues", *METRICS_PORTS)}
        self.children: dict[str, Child] = {}
        self.api = httpx.AsyncClient(timeout=20)
        # One retry: after a kill of Redis the pooled connection is dead, which is not what a test is about.
        self.redis = Redis(port=self.ports["redis"], retry=Retry(NoBackoff(), 1), socket_timeout=20)
        self.folder = folder
        self._cache_mode = cache_mode
        self._redis_binary = redis_binary
        self.exchange_args: list[str] = []  # further options of the exchange stand-in
        self.env = {
            "REDIS_URL": f"redis://127.0.0.1:{self.ports['redis']}/0",
            "BINANCE_WS_URL": self.origin("exchange").replace("http", "ws"),
            "BINANCE_REST_URL": self.origin("exchange"),
            "BACKEND_URL": self.origin("backend"),
            "BACKEND_API_KEY": KEY,
            "HISTORY_PATH": str(folder / "history.db"),
            "OI_MAX_REQ_PER_MIN": "60000",
            "OI_MIN_INTERVAL_SEC": "1",
            "OI_MAX_INTERVAL_SEC": "5",
            "MARK_MAX_AGE_SEC": "5",
            **{name: value.format(**self.ports) for name, value in env.items()},
        }

    def __getitem__(self, name: str) -> Child:
        return self.children[name]

    def origin(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, *names: str) -> None:
        """Those named, in this order; else all of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names or (*STAND_INS, *SERVICES):
            self.start_child(name, *self._command(name))

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        port = self.ports[name]
        if name == "redis":
            return server_command(port, str(self.folder), self._redis_binary), {}
        if name == "exchange":
            argv = [sys.executable, "-m", "dev.exchange", "--port", str(port), "--weight-limit", "100000"]
            return [*argv, *self.exchange_args], {}
        if name == "backend":
            env = {"PORT": str(port), "API_KEY": KEY, "CACHE_MODE": self._cache_mode}
            return [require_node(), "dev/backend/server.mjs"], env
        if name == "venues":
            return [sys.executable, "-m", "dev.venues", "--port", str(port)], {}
        return [sys.executable, "-m", f"services.{name}"], {**self.env, "METRICS_PORT": str(port)}

    def start_service(self, name: str, child: str = "", **env: str) -> None:
        """One more, beside those that deliver; as another child, where one of that name is there."""
        argv, common = self._command(name)
        self.start_child(child or name, argv, {**common, **env})

    def start_child(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        child = Child(name, argv, env, self.folder)
        child.start()
        self.children[name] = child

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def heal(self) -> None:
        """What is dead is started, and every fault of the stand-ins is over."""
        for child in self.children.values():
            if child.status() is not None:
                child.start()
        await self.fault("exchange", {}, "/control/reset")
        await self.fault("backend", {"faults": [], "cacheMode": self._cache_mode})

    async def close(self) -> None:
        stop_all(self.children.values())
        await self.redis.aclose()
        await self.api.aclose()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{child.tail(20)}" for name, child in self.children.items())

    async def fault(self, stand_in: str, body: Any, path: str = "/control") -> Any:
        answer = await self.api.post(self.origin(stand_in) + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, name: str, path: str) -> Any:
        return (await self.api.get(self.origin(name) + path)).json()

    async def healthz(self, service: str) -> dict[str, Any]:
        """Nothing while it does not answer."""
        try:
            told: dict[str, Any] = await self.get(service, "/healthz")
        except (httpx.HTTPError, ValueError):
            return {}
        return told

    async def metric(self, service: str, name: str) -> dict[str, float]:
        """Samples of one metric by the text of their labels."""
        text = (await self.api.get(f"{self.origin(service)}/metrics")).text
        samples = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name)]
        return {
            sample.removeprefix(name): float(value)
            for sample, _, value in samples
            if sample[len(name) :][:1] in ("", "{")
        }

    async def status(self, service: str) -> dict[str, str]:
        try:
            fields = await self.redis.hgetall(store.STATUS + service)
        except store.RedisError:
            return {}
        return {key.decode(): value.decode() for key, value in fields.items()}

    async def served(self) -> dict[str, float]:
        data: dict[str, float] = (await self.get("backend", "/api/market/open-interest"))["data"]
        return data

    async def universe(self) -> set[str]:
        return {name.decode() for name in await self.redis.hkeys("oi:universe")}

    async def verified_since(self, since_ms: int) -> bool:
        """Whether a cycle that began after ``since_ms`` was verified, by the publisher's own endpoint."""
        told = await self.healthz("publisher")
        return told.get("state") == "ok" and told["lastSuccess"] > iso(since_ms)

    async def next_verified(self, within_s: float = 75.0) -> None:
        since_ms = time.time_ns() // 1_000_000
        try:
            await eventually(lambda: self.verified_since(since_ms), within_s, every_s=0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.logs()}") from None
