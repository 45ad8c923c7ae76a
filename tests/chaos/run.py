"""One fault through the running pipeline, measured. docs/reliability.md defines each figure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx
from redis.exceptions import RedisError

from shared.clock import iso
from tests.chaos.faults import Fault
from tests.chaos.memory import Memory
from tests.chaos.rig import BOUNDS, SWEEP_S, Rig, healthy
from tests.chaos.served import Served
from tests.chaos.watch import Watch, first, now_ms
from tests.waiting import eventually

START_S = 40.0
ENTER_QUOTE = 4_000_000.0  # a symbol under the enter threshold may leave of its own
CALM_S = 75.0  # a budget that others used up is back with the next minute
FRESH_S = 8.0  # after recovery, how long symbols may take to be served with numbers made since
BAN_S = 20.0  # how long a fault waits for a ban it brought to be over


@dataclass
class Result:
    """Seconds, counts. ``problems`` is empty when the fault passed."""

    fault: Fault
    notice_s: float | None = None
    recover_s: float | None = None
    lost: list[str] = field(default_factory=list)
    wrong: int = 0
    judged: int = 0
    during_ban: list[str] = field(default_factory=list)
    worst_age_s: float = 0.0
    problems: list[str] = field(default_factory=list)


class Bench:
    """A rig with its watchers running; ``expected`` is the universe that must be served."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.watch = Watch(self.rig)
        self.served = Served(self.rig, BOUNDS)
        self.memory = Memory(self.rig)
        self._jobs: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Bench:
        await self.rig.begin()
        self._jobs = [asyncio.create_task(self.watch.follow()), asyncio.create_task(self.served.follow())]
        try:
            await self.until_whole(now_ms(), START_S)
            self.served.whole = await self.rig.whole_open_interest(await self.rig.universe())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self.rig.close()

    def check(self) -> None:
        """A watcher that died would measure nothing: its error ends the run."""
        for job in self._jobs:
            if job.done():
                job.result()

    def calm(self, since_ms: int) -> bool:
        """Whether the poller sweeps at its usual pace again, and no symbol failed in a sweep begun since then."""
        self.check()
        told = self.watch.health["oi_poller"] or {}
        begun_ms = int(told.get("sweep", "0").partition("-")[0])
        return begun_ms > since_ms and told.get("failed") == "0" and told.get("interval_s") == SWEEP_S

    async def until_whole(self, since_ms: int, within_s: float) -> None:
        await eventually(lambda: self.whole(since_ms), within_s, every_s=0.05)

    async def whole(self, since_ms: int) -> bool:
        """Whether a cycle since then was VERIFIED with every expected symbol in it, and every service is healthy."""
        self.check()
        if not healthy(self.watch.health):
            return False
        told = self.watch.health["publisher"] or {}
        closed = told.get("verdict") == "VERIFIED" and told.get("leftOut") == told.get("failed") == "0"
        if not closed or told.get("batch", "") <= iso(since_ms) or told["served"] != told["universe"]:
            return False
        try:
            universe = await self.rig.universe()
            return int(told["served"]) == len(universe) and not await self._missing(universe)
        except (RedisError, httpx.HTTPError):
            return False

    async def _missing(self, universe: set[str]) -> set[str]:
        """Expected symbols that are not in the universe, without those that left for want of volume."""
        missing = self.served.expected - universe
        if missing:
            volumes = await self.rig.quote_volumes()
            left = {symbol for symbol in missing if volumes.get(symbol, ENTER_QUOTE) < ENTER_QUOTE}
            self.served.expected -= left
            missing -= left
        return missing


async def measure(bench: Bench, fault: Fault) -> Result:
    """Inject, hold, wait for the notice and the end of any ban; heal, wait for the recovery; count."""
    result = Result(fault)
    await prepare(bench, fault)
    if fault.before is not None:
        await fault.before(bench.rig)
    begun_ms = now_ms()
    try:
        await fault.inject(bench.rig)
    except AssertionError as e:
        result.problems.append(f"it did not work there: {e}"[:300])
    await _hold(bench, fault, result, begun_ms)
    result.problems += bench.rig.crashed()
    ended_ms = now_ms()
    result.during_ban = list(bench.rig.manners.during_ban)
    await bench.rig.heal()
    await _recover(bench, result, ended_ms)
    await _judge(bench, result)
    _count(bench, result)
    return result


async def prepare(bench: Bench, fault: Fault) -> None:
    bench.check()
    bench.served.expected = await bench.rig.universe()
    bench.served.skews_ms = frozenset({0, fault.skew_ms})
    bench.served.judging = fault.judged
    bench.served.forget()
    bench.watch.forget()


async def _hold(bench: Bench, fault: Fault, result: Result, begun_ms: int) -> None:
    begun_s = time.monotonic()
    while True:
        bench.check()
        elapsed_s = time.monotonic() - begun_s
        said = first(fault.noticed, bench.watch.said, begun_ms)
        noticed = said is not None or not fault.noticed or elapsed_s > fault.notice_s
        banned = bench.rig.manners.banned_s > 0 and elapsed_s < fault.hold_s + BAN_S
        if noticed and not banned and elapsed_s >= fault.hold_s:
            break
        await asyncio.sleep(0.05)
    if said is None and fault.noticed:
        result.problems.append(f"not noticed within {fault.notice_s:g} s")
    if said is not None:
        result.notice_s = (said.at_ms - begun_ms) / 1000


async def _recover(bench: Bench, result: Result, ended_ms: int) -> None:
    ended_s = time.monotonic()
    try:
        await bench.until_whole(ended_ms, result.fault.recover_s)
        result.recover_s = time.monotonic() - ended_s
    except AssertionError:
        result.problems.append(f"not whole and healthy within {result.fault.recover_s:g} s: {_ill(bench)}")
    with contextlib.suppress(AssertionError):
        await eventually(lambda: bench.served.expected <= bench.served.served_since(ended_ms), FRESH_S)
    try:
        await eventually(lambda: bench.calm(ended_ms), CALM_S)  # its traces must not colour the next
    except AssertionError:
        told = bench.watch.health["oi_poller"] or {}
        pace, failed = told.get("interval_s"), told.get("failed")
        result.problems.append(f"{CALM_S:g} s later: a sweep every {pace} s, not {SWEEP_S} s; {failed} symbols failed")
    result.lost = sorted(bench.served.expected - bench.served.served_since(ended_ms))


async def _judge(bench: Bench, result: Result) -> None:
    """What must hold now that all is well again."""
    if not bench.served.judging:
        bench.served.forget()
        bench.served.judging = True
        await bench.until_whole(now_ms(), START_S)
    if result.fault.holds is not None:
        try:
            await result.fault.holds(bench.rig)
        except AssertionError as e:
            result.problems.append(str(e)[:300])


def _ill(bench: Bench) -> str:
    told = {s: "down" if h is None else f"{h['state']}: {h['detail']}"[:120] for s, h in bench.watch.health.items()}
    return "; ".join(f"{service} {text}" for service, text in told.items())


def _count(bench: Bench, result: Result) -> None:
    fault, served = result.fault, bench.served
    bench.memory.sample()
    result.problems += bench.memory.problems()
    result.wrong, result.judged = served.wrong_count, served.judged
    result.worst_age_s = served.worst_ms / 1000
    if result.wrong:
        result.problems.append(f"{result.wrong} wrong values, such as {served.wrong[0]}")
    if result.during_ban:
        asked = len(result.during_ban)
        result.problems.append(f"{asked} requests during a ban, such as {result.during_ban[0]}")
    if result.lost:
        result.problems.append(f"{len(result.lost)} symbols lost: {', '.join(result.lost[:5])}")
    if fault.judged and not result.judged:
        result.problems.append("no row was judged: the measurement itself failed")
    if fault.age_s is not None and result.worst_age_s > fault.age_s:
        result.problems.append(f"served {result.worst_age_s:.1f} s old; {fault.age_s:g} s allowed")
