"""The parts of one measurement, each a process of its own on free ports of the loopback: Redis, stand-ins, services."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from redis.asyncio import Redis

from dev.node import require_node
from dev.processes import Child, stop_all
from dev.redis_server import free_port, server_command

SYMBOLS = 341
LIQUID_USD, QUIET_USD = 25e6, 1e3  # above and below both thresholds of the universe
KEY = "bench"
T = TypeVar("T")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def until(what: str, condition: Callable[[], Awaitable[T]], within_s: float = 30.0, every_s: float = 0.02) -> T:
    """The first truthy answer; TimeoutError with the name of what did not come."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        answer = await condition()
        if answer:
            return answer
        await asyncio.sleep(every_s)
    raise TimeoutError(f"{what}: not within {within_s:g} s")


class Rig:
    """``children`` by name; a block of ``async with`` ends them all. It starts only what it is asked to."""

    def __init__(self, *exchange_args: str, **env: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="oi-bench-")
        self._exchange_args = exchange_args
        self.children: dict[str, Child] = {}
        self.ports: dict[str, int] = {}
        own = {"BACKEND_API_KEY": KEY, "HISTORY_PATH": f"{self._folder.name}/history.db", "OI_MAX_INTERVAL_SEC": "60"}
        self.env = {"MALLOC_ARENA_MAX": "1", "PYTHONNODEBUGRANGES": "1", **own, **env}  # as the units have it

    async def __aenter__(self) -> Rig:
        self.api = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write("".join(f"--- {name}\n{child.tail(8)}\n" for name, child in self.children.items()))
        stop_all(self.children.values())
        await self.api.close()
        if "redis" in self.children:
            await self.redis.aclose()
        self._folder.cleanup()

    def origin(self, name: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[name]}"

    def pid(self, name: str) -> int:
        return self.children[name].pid

    async def start_redis(self) -> None:
        port = self.ports["redis"] = free_port()
        self.redis = Redis(port=port, socket_timeout=None)
        self.env["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        await self._start("redis", server_command(port, self._folder.name))

    async def start_exchange(self, latency_ms: float = 0, symbols: int = SYMBOLS) -> list[str]:
        """The stand-in; exactly so many of its contracts count as liquid. Returns their names."""
        port = self.ports["exchange"] = free_port()
        await self._start("exchange", [sys.executable, "-m", "dev.exchange", "--port", str(port), *self._exchange_args])
        origin = self.origin("exchange")
        self.env |= {"BINANCE_REST_URL": origin, "BINANCE_WS_URL": self.origin("exchange", "ws")}
        liquid, quiet = _split((await self.get("exchange", "/fapi/v1/exchangeInfo"))["symbols"], symbols)
        volumes = dict.fromkeys(liquid, LIQUID_USD) | dict.fromkeys(quiet, QUIET_USD)
        await self.control(*({"fault": "volume_value", "symbol": s, "usd": usd} for s, usd in volumes.items()))
        if latency_ms:
            await self.control({"fault": "rest_latency", "route": "openInterest", "ms": latency_ms})
        return liquid

    async def start_backend(self) -> None:
        port = self.ports["backend"] = free_port()
        self.env["BACKEND_URL"] = self.origin("backend")
        await self._start("backend", [require_node(), "dev/backend/server.mjs"], PORT=str(port), API_KEY=KEY)

    async def start_service(self, name: str, **env: str) -> None:
        port = self.ports[name] = free_port()
        await self._start(name, [sys.executable, "-m", f"services.{name}"], METRICS_PORT=str(port), **env)

    async def _start(self, name: str, argv: Sequence[str], **env: str) -> None:
        child = Child(name, list(argv), {**self.env, **env}, Path(self._folder.name))
        child.start()
        self.children[name] = child
        child.until_listening(self.ports[name])

    async def get(self, name: str, path: str) -> Any:
        async with self.api.get(self.origin(name) + path) as answer:
            return await answer.json(content_type=None)

    async def control(self, *faults: dict[str, Any]) -> None:
        async with self.api.post(self.origin("exchange") + "/control", json=list(faults)) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the stand-in refused: {await answer.text()}")


def _split(contracts: list[dict[str, Any]], symbols: int) -> tuple[list[str], list[str]]:
    """The contracts that shall be liquid, and the rest of those that could be."""
    wanted = ("PERPETUAL", "TRADING", "USDT")
    fit = [c["symbol"] for c in contracts if (c["contractType"], c["status"], c["quoteAsset"]) == wanted]
    if len(fit) < symbols:
        raise RuntimeError(f"the stand-in lists only {len(fit)} contracts that fit, not {symbols}")
    return fit[:symbols], fit[symbols:]
