"""The faults, one entry each: what is done, how long it stays, who must say what, and how soon all is well again.

To add one, add an entry. ``inject`` gets the rig; what it did is undone by `Rig.heal`, which undoes everything.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.chaos.proxy import Proxy
from tests.chaos.rig import Rig
from tests.chaos.watch import Notice
from tests.pipeline.harness import SERVICES
from tests.waiting import eventually

Inject = Callable[[Rig], Awaitable[object]]


@dataclass(frozen=True)
class Fault:
    """Seconds all. ``noticed`` empty: there is nothing to notice, and no symbol may be served older than ``age_s``."""

    name: str
    about: str
    inject: Inject
    hold_s: float
    noticed: tuple[Notice, ...]
    notice_s: float = 12.0  # how soon somebody must say so
    recover_s: float = 20.0  # from the end of the fault
    age_s: float | None = None  # bound of the worst served age, where the fault must not be felt
    skew_ms: int = 0  # how far the exchange's own clock is off meanwhile
    before: Inject | None = None  # waits for the right moment; no part of what is measured
    holds: Inject | None = None  # raises AssertionError where what must be true after the recovery is not
    judged: bool = True  # False: what is served meanwhile stands in no database, and cannot be judged by it
    fast: bool = False  # part of `make test` too


def at_once(action: Callable[[Rig], object]) -> Inject:
    async def inject(rig: Rig) -> None:
        action(rig)

    return inject


def exchange(*faults: dict[str, Any]) -> Inject:
    return lambda rig: rig.exchange(*faults)


def answers(answer: str, route: str = "all", **more: Any) -> Inject:
    return exchange({"fault": "rest_answer", "answer": answer, "route": route, **more})


def backend(**settings: Any) -> Inject:
    return lambda rig: rig.fault("backend", settings)


def kill(*names: str) -> Inject:
    return at_once(lambda rig: rig.kill(*names))


def wedge(*names: str) -> Inject:
    return at_once(lambda rig: [rig[name].signal(signal.SIGSTOP) for name in names])


def redis_config(**settings: int) -> Inject:
    return lambda rig: rig.configure_redis(**settings)


def net(*ways: str, refuse: bool = False, reset: bool = False, cut: str = "", latency_s: float = 0.0) -> Inject:
    """Of the ways to the outside; ``cut``: "up", "down" or "up down"."""

    def hurt(proxy: Proxy) -> None:
        if refuse:
            proxy.refuse()
        if reset:
            proxy.reset()
        proxy.latency_s = latency_s
        proxy.cut(*cut.split())  # type: ignore[arg-type]

    return at_once(lambda rig: [hurt(rig.proxies[way]) for way in ways])


def both(*parts: Inject) -> Inject:
    async def inject(rig: Rig) -> None:
        for part in parts:
            await part(rig)

    return inject


async def retired_address(rig: Rig) -> None:
    """The routed path now leads where the old one does: connected, and silent."""
    rig.proxies["ws"].rewrite = (b"GET /market/stream", b"GET /stream")
    rig.proxies["ws"].reset()


async def flush(rig: Rig) -> None:
    await rig.redis.flushall()


async def proxy_killed(rig: Rig) -> None:
    """All goes through a forward proxy, which then dies."""
    await rig.go_through_a_proxy()
    newest = (await rig.status("oi_poller")).get("sweep")

    async def swept() -> bool:
        sweep = (await rig.status("oi_poller")).get("sweep")
        return sweep is not None and sweep != newest

    await eventually(swept)
    rig.kill("forward")


async def flush_when_banned(rig: Rig) -> None:
    await eventually(lambda: rig.manners.refusals > 0)
    await flush(rig)


async def banned_then_restarted(rig: Rig) -> None:
    """Both services that call REST are killed in the middle of a ban and come back at once."""
    await answers("418", retry_after=12, seconds=12)(rig)
    await eventually(lambda: rig.manners.refusals > 0)
    await asyncio.sleep(1)
    for name in ("oi_poller", "ws_daemon"):
        rig[name].kill()
        rig[name].start()


async def late_in_the_minute(_: Rig) -> None:
    """So that the next minute, with its fresh weight, is near."""
    await asyncio.sleep((45 - time.time() % 60) % 60)


async def over_the_limit(rig: Rig) -> None:
    """Others use up the minute's weight: the next request brings a ban of the exchange's own limiter."""
    await rig.exchange({"fault": "limits", "ban_after": 0, "ban_s": 8}, {"fault": "weight_burn", "weight": 200_000})


async def delisted_in_mid_sweep(rig: Rig) -> None:
    """Three symbols stop trading while a slow sweep is asking for the others."""
    await rig.exchange({"fault": "rest_latency", "route": "openInterest", "ms": 60})
    asked = (await rig.get("exchange", "/control"))["requests"].get("openInterest", 0)

    async def under_way() -> bool:
        return bool((await rig.get("exchange", "/control"))["requests"].get("openInterest", 0) > asked + 20)

    await eventually(under_way)
    await rig.exchange(*({"fault": "delist", "symbol": s} for s in ("XRPUSDT", "ADAUSDT", "DOGEUSDT")))


def _says(by: str, says: str, *, quiet: bool = False) -> tuple[Notice, ...]:
    return (Notice(by, says, quiet),)


ws, poller, publisher = (partial(_says, service) for service in SERVICES)
