"""The pipeline of `tests.pipeline.harness` with a proxy on every way a service has to the outside, and one `heal`.

Scaled-down settings, so that minutes of production are seconds here; docs/reliability.md lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from dev.redis_server import free_port, server_command
from tests import proxies
from tests.chaos.manners import Manners
from tests.chaos.oracle import Bounds
from tests.chaos.proxy import Proxy
from tests.pipeline.harness import SERVICES, Pipeline
from tests.waiting import eventually

MARK_MAX_AGE_S, OI_MAX_AGE_S = 5, 15
SWEEP_S = "1.5"
SCALED = {
    "OI_MIN_INTERVAL_SEC": SWEEP_S,
    "LOG_FORMAT": "json",
    "MARK_MAX_AGE_SEC": str(MARK_MAX_AGE_S),
    "OI_MAX_AGE_SEC": str(OI_MAX_AGE_S),
    "OI_LISTINGS_INTERVAL_SEC": "10",
    "VERIFIED_MAX_AGE_SEC": "8",
    "BACKEND_TIMEOUT_SEC": "3",
    "BACKEND_RETRY_MAX_SEC": "2",
}
# Beside the settings: 2 s for the beat of the stream and the way of a frame, 5 s for an answer that is slow to come.
BOUNDS = Bounds((MARK_MAX_AGE_S + 2) * 1000, (OI_MAX_AGE_S + 5) * 1000)
WAYS = {"ws": "exchange", "rest": "exchange", "backend": "backend", "redis": "redis"}


class Rig(Pipeline):
    """``proxies`` by the name of the way: ws, rest, backend, redis."""

    def __init__(self, folder: Path) -> None:
        fronts = {way: free_port() for way in WAYS}
        super().__init__(
            folder,
            **SCALED,
            BINANCE_WS_URL=f"ws://127.0.0.1:{fronts['ws']}",
            BINANCE_REST_URL=f"http://127.0.0.1:{fronts['rest']}",
            BACKEND_URL=f"http://127.0.0.1:{fronts['backend']}",
            REDIS_URL=f"redis://127.0.0.1:{fronts['redis']}/0",
        )
        self.exchange_args = ["--clock-in-values"]
        self.manners = Manners()
        self.proxies = {
            way: Proxy(fronts[way], self.ports[server], self.manners.heard if way == "rest" else None)
            for way, server in WAYS.items()
        }
        self.noted = 0  # by a fault, for what must hold after it
        self.undo: list[Callable[[], object]] = []  # what a fault began and `heal` ends
        self.ended: set[str] = set()  # children that a fault ended; any other that is dead has crashed

    async def begin(self) -> None:
        for proxy in self.proxies.values():
            await proxy.listen()
        self.start()
        await eventually(self.answers)

    async def close(self) -> None:
        await super().close()
        for proxy in self.proxies.values():
            await proxy.close()

    async def exchange(self, *faults: dict[str, Any]) -> None:
        await self.fault("exchange", list(faults))

    def kill(self, *names: str) -> None:
        for name in names:
            self.ended.add(name)
            self[name].kill()

    async def configure_redis(self, **settings: int) -> None:
        for name, value in settings.items():
            await self.redis.config_set(name.replace("_", "-"), value)

    async def fail_over(self) -> None:
        """A replica takes over behind the same address; the old primary lives on, with every connection it had."""
        self.ports["replica"] = free_port()
        self.start_child("replica", server_command(self.ports["replica"], str(self.folder)), {})
        self.undo.append(self._fail_back)
        await self.configure_redis(repl_diskless_sync_delay=0)
        async with Redis(port=self.ports["replica"], retry=Retry(ConstantBackoff(0.1), 50)) as replica:
            await replica.execute_command("REPLICAOF", "127.0.0.1", str(self.ports["redis"]))
            await eventually(lambda: _synchronous(replica))
            await replica.execute_command("REPLICAOF", "NO", "ONE")
        await self.redis.execute_command("REPLICAOF", "127.0.0.1", str(self.ports["replica"]))
        self.proxies["redis"].target = self.ports["replica"]

    async def _fail_back(self) -> None:
        await self.redis.execute_command("REPLICAOF", "NO", "ONE")
        self.proxies["redis"].target = self.ports["redis"]
        self.children.pop("replica").stop()
        self.forget_snapshot()

    def forget_snapshot(self) -> None:
        """That Redis was synchronised by, or saved: whichever server is started next is to be empty."""
        (self.folder / "dump.rdb").unlink(missing_ok=True)

    async def go_through_a_proxy(self) -> None:
        """Whoever asks the exchange is started anew, to go through a forward proxy with a login."""
        port = self.ports["forward"] = free_port()
        self.start_child("forward", proxies.command(port, self.folder), {})
        self.undo.append(self._go_direct)
        await self._start_anew(proxies.url(port))

    async def _go_direct(self) -> None:
        self.children.pop("forward").stop()
        await self._start_anew("")

    async def _start_anew(self, proxy: str) -> None:
        for name in ("ws_daemon", "oi_poller"):
            self[name].kill()
            self[name].env["BINANCE_PROXY"] = proxy
            self[name].start()
            await eventually(lambda name=name: self._goes_through(name, proxy.rpartition("@")[2]))

    async def _goes_through(self, name: str, where: str) -> bool:
        status = await self.status(name)
        return status.get("pid") == str(self[name].pid) and status.get("proxy", "") == where

    def crashed(self) -> list[str]:
        """Children that ended though no fault ended them."""
        return [
            f"{name} ended by itself with status {child.status()}"
            for name, child in self.children.items()
            if child.status() is not None and name not in self.ended
        ]

    async def heal(self) -> None:
        """End whatever fault is on, of whatever kind; what was killed is started as systemd would."""
        for proxy in self.proxies.values():
            await proxy.heal()
        while self.undo:
            undone = self.undo.pop()()
            if inspect.isawaitable(undone):
                await undone
        for child in self.children.values():
            if child.status() is not None:
                child.start()
            child.signal(signal.SIGCONT)
        self.ended.clear()
        await eventually(self.answers)
        await self.configure_redis(maxmemory=0, min_replicas_to_write=0)
        await self.fault("exchange", {}, "/control/reset")
        await self.fault("backend", {"faults": [], "rowDelayMs": 0, "databaseDown": False, "edgeTtlSec": 0})
        self.manners.forget()

    async def answers(self) -> bool:
        """Whether the stand-ins and Redis are there."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await self.redis.ping()
                await self.get("exchange", "/control")
                await self.get("backend", "/control")
                return True
        return False

    async def whole_open_interest(self, symbols: set[str]) -> dict[str, int]:
        """The whole part of each symbol's open interest, asked past the proxy."""
        some = asyncio.Semaphore(16)

        async def ask(symbol: str) -> int:
            async with some:
                answer = await self.api.get(
                    self.origin("exchange") + "/fapi/v1/openInterest", params={"symbol": symbol}
                )
                return int(float(answer.json()["openInterest"]))

        return dict(zip(symbols, await asyncio.gather(*map(ask, symbols)), strict=True))

    async def quote_volumes(self) -> dict[str, float]:
        rows = await self.get("exchange", "/fapi/v1/ticker/24hr")
        return {row["symbol"]: float(row["quoteVolume"]) for row in rows}


def healthy(health: dict[str, dict[str, Any] | None]) -> bool:
    return all(one is not None and one["state"] == "ok" for one in (health[service] for service in SERVICES))


async def _synchronous(replica: Redis) -> bool:
    return bool((await replica.info("replication"))["master_link_status"] == "up")
