"""What a sweep, a frame and a cycle may cost in calls: counted on the real processes, so that no clock is involved.

The old poller asked a local price API 341 times a cycle for what one HGETALL tells. A change that brings such a thing
back, be it a call for each symbol or a second read of the same hash, fails here on any machine.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.pipeline.commands import Commands, rounds
from tests.pipeline.harness import SERVICES, Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENDS = {"ws_daemon": "HSET oi:mark", "oi_poller": "XADD oi:sweeps", "publisher": "XACK oi:sweeps"}
SWEEPS = 6


class Window:
    """Rounds of each service (frame, sweep, cycle), and what the stand-ins counted over as many sweeps or one more."""

    def __init__(self, commands: dict[str, list[str]], before: dict[str, Any], after: dict[str, Any]) -> None:
        self.rounds = {service: rounds(found, ENDS[service]) for service, found in commands.items()}
        self._before, self._after = before, after

    def grown(self, *path: str) -> int:
        """How much a counter of the stand-ins grew."""
        first, last = self._before, self._after
        for name in path:
            first, last = first.get(name, {}), last.get(name, {})
        return int(last or 0) - int(first or 0)


class Named(Pipeline):
    """The connections of each service carry its name."""

    def start_child(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        if name in SERVICES:
            env = {**env, "REDIS_URL": f"{env['REDIS_URL']}?client_name={name}"}
        super().start_child(name, argv, env)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    async with Named(tmp_path_factory.mktemp("costs"), OI_MIN_INTERVAL_SEC="0.6") as running:
        running.start()
        await running.next_verified()
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def window(pipeline: Pipeline) -> Window:
    """Counted once the pipeline runs steadily."""
    commands = Commands(pipeline.redis, pipeline.ports["redis"])
    job = asyncio.create_task(commands.follow())
    await commands.watching.wait()
    await pipeline.next_verified()
    commands.clear()
    before = await told(pipeline)
    newest: Any = await pipeline.redis.xrevrange("oi:sweeps", count=1)
    await eventually(lambda: delivered_after(pipeline, newest[0][0].decode(), SWEEPS + 1), 50)
    found, after = {name: await commands.of(name) for name in SERVICES}, await told(pipeline)
    job.cancel()
    return Window(found, before, after)


async def delivered_after(pipeline: Pipeline, sweep: str, count: int) -> bool:
    """Whether so many sweeps landed after this one, and the publisher has none left."""
    later: Any = await pipeline.redis.xrange("oi:sweeps", min=f"({sweep}")
    groups: Any = await pipeline.redis.xinfo_groups("oi:sweeps")
    return len(later) >= count and all(group["pending"] == 0 and group["lag"] == 0 for group in groups)


async def told(pipeline: Pipeline) -> dict[str, Any]:
    exchange, backend = await pipeline.get("exchange", "/control"), await pipeline.get("backend", "/control")
    return {"rest": exchange["requests"], "backend": backend["requests"], "now": exchange["now_ms"]}


async def test_a_sweep_reads_the_marks_once_and_writes_once(window: Window) -> None:
    sweeps = window.rounds["oi_poller"]
    assert len(sweeps) >= SWEEPS
    for sweep in sweeps:
        once = ("HGETALL oi:mark", "HSET oi:contracts", "HSET oi:universe", "XADD oi:sweeps")
        assert {command: sweep[command] for command in once} == dict.fromkeys(once, 1)
        # Who is in, and whether there is a ban, is settled at each turn; now and then one comes too early for a sweep.
        assert 1 <= sweep["HGETALL oi:volume"] <= 3
        assert 1 <= sum(count for command, count in sweep.items() if command.startswith("MGET oi:ban:")) <= 3


async def test_a_sweep_asks_the_exchange_once_for_each_symbol(window: Window, pipeline: Pipeline) -> None:
    symbols, sweeps = len(await pipeline.universe()), len(window.rounds["oi_poller"])
    assert sweeps * (symbols - 10) <= window.grown("rest", "openInterest") <= (sweeps + 3) * (symbols + 10)
    assert window.grown("rest", "exchangeInfo") <= 1
    assert window.grown("rest", "premiumIndex") == 0


async def test_a_frame_is_one_write_whatever_its_rows(window: Window) -> None:
    """Two connections bring every frame twice; the second one has nothing to write."""
    frames = window.rounds["ws_daemon"]
    sent = 2 * window.grown("now") / 1000  # crypto and TradFi, once a second each
    assert sent * 0.5 <= len(frames) <= sent + 2  # frames that wait share a write
    for frame in frames:
        assert frame["HSET oi:mark"] == frame["HLEN oi:mark"] == frame["HLEN oi:volume"] == 1
        assert frame["HSET oi:volume"] <= 1
        assert frame["HGETALL oi:mark"] == 0


async def test_a_cycle_is_one_post_and_a_look_before_and_after_it(window: Window) -> None:
    cycles = window.rounds["publisher"]
    assert len(cycles) >= SWEEPS
    for cycle in cycles:
        assert cycle["HGETALL oi:mark"] <= 1
        assert cycle["HSET oi:served"] <= 1
    assert len(cycles) <= window.grown("backend", "POST ingest") <= len(cycles) + 3
    assert window.grown("backend", "GET read") <= 2 * len(cycles) + 3
    assert window.grown("backend", "POST universe") <= len(cycles)


@pytest.mark.parametrize(("service", "most"), [("ws_daemon", 5), ("oi_poller", 16), ("publisher", 40)])
async def test_calls_do_not_grow_with_the_number_of_symbols(window: Window, service: str, most: int) -> None:
    """Commands of all kinds for each frame, sweep or cycle, on average; there are over 300 symbols.

    Left out is what goes by the clock: heartbeat and lease, and asking again when nothing came within a second. A
    change that is fenced costs four commands more than itself.
    """
    found = window.rounds[service]
    everything: Counter[str] = sum(found, Counter())
    beats = everything[f"EXPIRE oi:status:{service}"] * 9  # WATCH, GET, MULTI, DEL, HSET, EXPIRE, HSET, EXPIRE, EXEC
    renewals = everything[f"SET oi:lease:{service}"] * 5  # WATCH, MGET, MULTI, SET, EXEC
    spent = everything.total() - beats - renewals - everything["XREADGROUP GROUP"]
    assert spent / len(found) <= most, everything
