"""What can be seen of two hosts from outside: in Redis, at the services' own addresses, and at the backend."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cli import hosts
from cli.hosts import Share
from shared.clock import iso
from shared.errors import Transient
from shared.history.file import open_to_read
from shared.model import Sweep
from shared.sweeplog import sweep_entry
from tests.chaos.oracle import Bounds, judge
from tests.chaos.watch import now_ms
from tests.hosts.net import ADDRESSES, WORLD
from tests.waiting import eventually

PORTS = {"ws_daemon": 9101, "oi_poller": 9102, "publisher": 9103, "oi_alerter": 9104, "oi_keeper": 9106}
EXCHANGE, BACKEND = 18090, 18080
ASKED_FOR_S = 20.0
T = TypeVar("T")
# The default ages, and the beat of the stream and a slow answer: as tests/chaos has it.
BOUNDS = Bounds((15 + 2) * 1000, (60 + 5) * 1000)


class Seen:
    def __init__(self, folder: Path, redis: Redis) -> None:
        self.folder, self.redis = folder, redis
        self.api = httpx.AsyncClient(timeout=2)

    async def versions(self) -> dict[str, set[str]]:
        """Of all services, by host, as they signed in."""
        found: dict[str, set[str]] = {}
        for one in await again(lambda: hosts.present(self.redis)):
            found.setdefault(one.host.removeprefix("host-"), set()).add(f"{one.service} {one.version}")
        return found

    async def shares(self) -> dict[str, Share]:
        return await again(self._shares)

    async def _shares(self) -> dict[str, Share]:
        return {share.service: share for share in await hosts.read(self.redis, now_ms())}

    async def owners(self) -> dict[str, str]:
        """Service -> ``a`` or ``b``; empty while nobody works."""
        return {service: share.works.removeprefix("host-") for service, share in (await self.shares()).items()}

    async def owns(self, host: str, service: str) -> bool:
        with contextlib.suppress(Transient):
            return (await self._shares())[service].works == f"host-{host}"
        return False

    async def master(self) -> str:
        pool: Any = self.redis.connection_pool
        address = await again(pool.get_master_address)
        return next(host for host, where in ADDRESSES.items() if where == address[0])

    async def whole(self) -> None:
        """Both hosts there, every service with a standby, the replica in sync, and cycles verified."""
        await eventually(self._has_standbys, 90, 0.2)
        await eventually(self._in_sync, 60, 0.2)
        await self.verified(now_ms())

    async def _has_standbys(self) -> bool:
        with contextlib.suppress(Transient):
            return all(share.works and share.standing_by for share in (await self._shares()).values())
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
        return (now_ms() - since_ms) / 1000

    async def _verified_at(self, host: str) -> float:
        """0 where its publisher does not answer, or has verified nothing yet."""
        with contextlib.suppress(httpx.HTTPError):
            text = (await self.api.get(f"http://{ADDRESSES[host]}:{PORTS['publisher']}/metrics", timeout=1)).text
            found = re.search(r"^pipeline_last_verified_timestamp_seconds (\S+)", text, re.MULTILINE)
            return float(found[1]) if found else 0.0
        return 0.0

    async def stands_by(self, host: str, *services: str) -> bool:
        """These services, or all of them, say so of themselves."""
        with contextlib.suppress(httpx.HTTPError):
            for service in services or PORTS:
                answer = await self.api.get(f"http://{ADDRESSES[host]}:{PORTS[service]}/healthz", timeout=1)
                if answer.status_code != 200 or not answer.json()["detail"].startswith("standby; "):
                    return False
            return True
        return False

    async def batches(self, since_ms: int) -> list[dict[str, Any]]:
        answer = await self.api.get(f"http://{WORLD}:{BACKEND}/control/batches", timeout=10)
        found = [batch for batch in answer.json()["batches"] if batch["receivedAt"] >= since_ms]
        return cast("list[dict[str, Any]]", found)

    async def sweeps(self) -> set[str]:
        return {name.decode() for name, _ in await self._range("-")}

    async def _range(self, first: str | int) -> list[Any]:
        return await again(lambda: cast("Awaitable[list[Any]]", self.redis.xrange("oi:sweeps", min=first)))

    async def undelivered(self, since_ms: int) -> int:
        """Sweeps that landed since, and neither were posted nor wait, the newest two left out."""
        posted = {batch["timestamp"] for batch in await self.batches(since_ms) if batch["stored"]}
        landed = [sweep for _, sweep in await self._landed(since_ms + 1000)][:-2]
        return sum(1 for sweep in landed if iso(sweep.ended_ms) not in posted)

    async def wrong_values(self) -> tuple[int, list[str]]:
        """How many rows the backend stored, and why some can be shown false."""
        answer = await self.api.get(f"http://{WORLD}:{BACKEND}/control/rows", params={"limit": 200_000}, timeout=30)
        rows: list[dict[str, Any]] = answer.json()["rows"]
        judged = [judge(row, {}, BOUNDS, frozenset({0})) for row in rows]
        return len(rows), [why for why in judged if why]

    def minutes_of_one(self) -> set[int]:
        """Minutes of which one host's history has rows and the other's has none; that of now is left out."""
        kept = [self._minutes(host) for host in ("a", "b")]
        return (kept[0] ^ kept[1]) - {now_ms() // 60_000}

    def _minutes(self, host: str) -> set[int]:
        with contextlib.closing(open_to_read(str(self.folder / f"history-{host}.db"))) as db:
            return {minute for (minute,) in db.execute("SELECT DISTINCT minute FROM minute")}

    async def _landed(self, since_ms: int) -> list[tuple[int, Sweep]]:
        """When each sweep landed since, and the sweep."""
        found = [sweep_entry(*row) for row in await self._range(since_ms)]
        return [(int(e.entry_id.partition("-")[0]), e.sweep) for e in found if isinstance(e.sweep, Sweep)]

    async def refused(self, host: str) -> int:
        """Requests that came from this host's address during a ban."""
        answer = await self.api.get(f"http://{WORLD}:{exchange_port(host)}/control")
        return int(answer.json()["weight"]["requests_during_ban"])

    async def sweeps_since(self, since_ms: int) -> list[int]:
        """When sweeps landed whose first request was sent later than this, oldest first."""
        landed = await self._landed(since_ms)
        return [at_ms for at_ms, sweep in landed if sweep.started_ms > since_ms and sweep.readings]


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """The first answer. A connection to a host whose cable was out hears nothing for a while, and is dropped."""
    deadline_s = time.monotonic() + ASKED_FOR_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(Transient, RedisError, OSError):
            return await ask()
        await asyncio.sleep(0.3)
    return await ask()


def exchange_port(host: str) -> int:
    """Each host sees the exchange by an address of its own, which counts and bans it apart from the other."""
    return EXCHANGE + ord(host) - ord("a")


async def until(condition: Any, within_s: float = 60.0) -> float:
    """Seconds until it holds."""
    begun_s = time.monotonic()
    await eventually(condition, within_s, 0.1)
    return time.monotonic() - begun_s
