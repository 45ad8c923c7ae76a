"""From a staged move at the exchange to the alert at the backend, with the real processes; minutes are seconds here."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import msgpack
import pytest
import pytest_asyncio

from dev.redis_server import free_port
from services.oi_alerter.wire import past_samples
from shared.clock import iso
from shared.model import Sweep
from shared.sweeplog import sweep_entry
from tests.oi_alerter import reference
from tests.oi_alerter.reference import Event, Rule
from tests.pipeline.harness import Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = [Rule("5 min", 7000, 0.03, 10_000), Rule("15 min", 7500, 0.07, 600_000), Rule("1 hour", 6000, 0.12, 0)]
STEP_MS = 6000 // 30
MIN_CONTRACTS = 50
SETTINGS = {
    "OI_LOOKBACK_WINDOW_5MIN": "7",
    "OI_LOOKBACK_WINDOW_15MIN": "7.5",
    "OI_LOOKBACK_WINDOW_60MIN": "6",
    "OI_ALERT_COOLDOWN_5MIN": "10",
    "OI_ALERT_COOLDOWN_15MIN": "600",
    "OI_ALERT_COOLDOWN_60MIN": "0",
    "OI_MIN_DELTA_CONTRACTS": str(MIN_CONTRACTS),
    "OI_MIN_INTERVAL_SEC": "0.5",
    "OI_MAX_INTERVAL_SEC": "2",
    "OI_LIQUID_ENTER_QUOTE_24H": "200000000",
    "OI_LIQUID_EXIT_QUOTE_24H": "100000000",
}


class Told(NamedTuple):
    symbol: str
    direction: str
    timeframe: str
    timestamp: str


class Snapshot(NamedTuple):
    """One instant of Redis: the sweeps looked at so far, and all that was told of them."""

    sweeps: list[Sweep]
    alerts: list[dict[str, Any]]

    def told(self, *symbols: str) -> list[Told]:
        rows = [Told(*(alert[name] for name in Told._fields)) for alert in self.alerts]
        return [row for row in rows if not symbols or row.symbol in symbols]

    def events(self, symbol: str) -> list[Event]:
        readings = [s.readings[symbol].open_interest for s in self.sweeps if symbol in s.readings]
        return [Event(symbol, reading.received_ms, float(reading.open_interest), 0) for reading in readings]

    def expected(self, symbol: str) -> list[Told]:
        told = reference.alerts(self.events(symbol), RULES, MIN_CONTRACTS, STEP_MS)
        return [Told(row.symbol, row.direction, row.timeframe, iso(row.at_ms)) for row in told]


class WithAlerter(Pipeline):
    def start(self) -> None:
        super().start()
        self.ports["oi_alerter"] = free_port()
        env = {**self._env, "METRICS_PORT": str(self.ports["oi_alerter"])}
        self._child("oi_alerter", [sys.executable, "-m", "services.oi_alerter"], env)

    async def snapshot(self) -> Snapshot:
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget("oi:alerter", "cursor")
            pipe.xrange("oi:sweeps")
            pipe.xrange("oi:alerts")
            cursor, sweeps, alerts = await pipe.execute()
        seen = [entry for entry in sweeps if order(entry[0]) <= order(cursor)]
        decoded = [sweep_entry(*entry).sweep for entry in seen]
        return Snapshot(
            [sweep for sweep in decoded if isinstance(sweep, Sweep)],
            [msgpack.unpackb(fields[b"alert"]) for _, fields in alerts],
        )

    async def told(self, *symbols: str) -> list[Told]:
        return (await self.snapshot()).told(*symbols)

    async def move(self, symbol: str, percent: float) -> None:
        await self.fault("exchange", {"fault": "oi_move", "symbol": symbol, "percent": percent})

    async def warmed_up(self) -> bool:
        """Whether the longest lookback lies within the history."""
        try:
            return (await self.metric("oi_alerter", "pipeline_alert_history_seconds")).get("", 0) > 7.5
        except httpx.HTTPError:
            return False

    async def up_to_date(self) -> bool:
        """Whether every sweep was looked at."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget("oi:alerter", "cursor")
            pipe.xrevrange("oi:sweeps", count=1)
            cursor, newest = await pipe.execute()
        return bool(cursor == newest[0][0])

    async def inside(self, symbol: str, timeframe: str) -> bool:
        row = await self.redis.hget("oi:alerter", f"{symbol} UP {timeframe}")
        return row is not None and json.loads(row)["outsideAt"] == 0

    async def served(self) -> list[Told]:  # type: ignore[override]
        """What the backend's database holds, as a user with a session sees it."""
        await self.fault("backend", {"alertsSession": False})
        rows = (await self.get("backend", "/api/open-interest-alerts?limit=100"))["alerts"]
        return [Told(row["symbol"], row["direction"], row["timeframe"], row["ts"]) for row in rows]


def order(entry_id: bytes) -> tuple[int, int]:
    ms, _, sequence = entry_id.decode().partition("-")
    return int(ms), int(sequence)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WithAlerter]:
    pipeline = WithAlerter(tmp_path_factory.mktemp("alerts"), **SETTINGS)
    pipeline.start()
    try:
        await eventually(pipeline.warmed_up)
        yield pipeline
    finally:
        await pipeline.close()


async def test_a_spike_is_told_once_a_frame_within_one_sweep_and_again_only_after_it_was_inside_and_cool(
    pipeline: WithAlerter,
) -> None:
    await pipeline.move("ETHUSDT", 8)
    await eventually(lambda: pipeline.told("ETHUSDT"))

    first = await pipeline.snapshot()
    before, after = first.events("ETHUSDT")[0], first.events("ETHUSDT")[-1]
    shown = next(e for e in first.events("ETHUSDT") if e.contracts > before.contracts * 1.05)
    expected = [Told("ETHUSDT", "UP", name, iso(shown.at_ms)) for name in ("5 min", "15 min")]
    assert first.told("ETHUSDT") == expected
    alert = first.alerts[0]
    assert alert["pctChange"] == pytest.approx(0.08, abs=0.01)
    assert alert["absChange"] == pytest.approx(after.contracts - before.contracts, rel=0.1)
    assert alert["current"] == shown.contracts
    assert abs(alert["priceChange"]) < 0.05
    assert abs(alert["fundingRate"]) < 0.01
    assert alert["source"] == "oi_realtime_poller"

    for timeframe in ("5 min", "15 min"):
        await eventually(lambda name=timeframe: pipeline.inside("ETHUSDT", name))
    assert await pipeline.told("ETHUSDT") == expected

    await pipeline.move("ETHUSDT", 8)

    async def told_again() -> bool:
        return len(await pipeline.told("ETHUSDT")) > 2

    await eventually(told_again)
    await eventually(lambda: pipeline.inside("ETHUSDT", "5 min"))
    last = await pipeline.snapshot()
    again = last.told("ETHUSDT")[2:]
    assert [row.timeframe for row in again] == ["5 min"]
    assert last.told("ETHUSDT") == last.expected("ETHUSDT")


async def test_a_kill_at_any_instant_repeats_none_and_loses_none(pipeline: WithAlerter) -> None:
    """What was told is what an alerter that nobody killed would have told of the very same sweeps."""
    symbols = ["BTCUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "BNBUSDT"]
    assert set(symbols) <= await pipeline.universe()
    for symbol in symbols:
        await eventually(pipeline.up_to_date)  # else it would only ever die young
        await pipeline.move(symbol, random.choice([8, -8]))
        await asyncio.sleep(random.uniform(0, 0.8))  # the instant is the point: anywhere in a sweep's way
        pipeline["oi_alerter"].kill()
        pipeline["oi_alerter"].start()

    async def all_seen() -> bool:
        seen = await pipeline.snapshot()
        levels = [[event.contracts for event in seen.events(symbol)] for symbol in symbols]
        return all(max(level) > 1.05 * min(level) for level in levels)

    await eventually(all_seen)
    seen = await pipeline.snapshot()
    for symbol in symbols:
        assert seen.told(symbol) == seen.expected(symbol)
    counts = Counter((row.symbol, row.timeframe) for row in seen.told(*symbols))
    assert counts == Counter((symbol, timeframe) for symbol in symbols for timeframe in ("5 min", "15 min"))


async def test_the_backend_serves_each_alert_once(pipeline: WithAlerter) -> None:
    async def delivered() -> bool:
        return set(await pipeline.told()) <= set(await pipeline.served())

    try:
        await eventually(delivered)
    except AssertionError:
        missing = set(await pipeline.told()) - set(await pipeline.served())
        pytest.fail(f"not served: {missing}\n{pipeline.logs()}")
    assert sorted(await pipeline.served()) == sorted(await pipeline.told())


async def test_the_past_is_read_as_the_exchange_tells_it(pipeline: WithAlerter) -> None:
    query = "symbol=SOLUSDT&period=5m&limit=14"
    answer = await pipeline.api.get(f"{pipeline.origin('exchange')}/futures/data/openInterestHist?{query}")
    told = past_samples(answer.content, "SOLUSDT")
    assert [later.at_ms - earlier.at_ms for earlier, later in pairwise(told)] == [300_000] * 13
