"""From the exchange to what the backend serves, with the real processes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.redis_server import free_port
from tests.pipeline.harness import KEY, SERVICES, Pipeline
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_whole_universe_is_served_and_nothing_at_zero(pipeline: Pipeline) -> None:
    """The incident: 43 of 343 symbols served, BTC at $0.00, every log line saying success."""
    await pipeline.next_verified()

    served, universe = await pipeline.served(), await pipeline.universe()
    batch = (await pipeline.get("backend", "/control/batches?since=0"))["batches"][-1]

    assert len(universe) > 300
    assert set(served) == universe
    assert min(served.values()) > 0
    assert batch["rows"] == len(universe)

    async def listed() -> bool:
        told = await pipeline.get("backend", "/api/market/open-interest/liquid-universe")
        symbols = {entry["symbol"] for entry in told["symbols"]}
        return symbols <= universe and len(universe - symbols) <= 5  # who entered since is told with the next update

    await eventually(listed)


async def test_what_was_sent_is_open_interest_times_mark(pipeline: Pipeline) -> None:
    await pipeline.next_verified()
    rows = (await pipeline.get("backend", "/control/rows?symbol=BTCUSDT&limit=1"))["rows"]
    contracts = json.loads(await pipeline.redis.hget("oi:contracts", "BTCUSDT"))
    row = rows[-1]

    assert row["openInterestUsd"] == pytest.approx(row["openInterest"] * row["markPrice"], rel=1e-12)
    assert row["openInterest"] == pytest.approx(float(contracts["oi"]), rel=0.01)
    assert row["markPrice"] == pytest.approx(float(contracts["mark"]), rel=0.01)


@pytest.mark.parametrize("name", ["ws_daemon", "oi_poller", "publisher", "redis"])
async def test_a_killed_process_started_again_alone_is_enough(pipeline: Pipeline, name: str) -> None:
    """kill -9 of each in turn: the others carry on, and the next cycles are verified."""
    others = {child.name: child.pid for child in pipeline.children.values() if child.name != name}

    pipeline[name].kill()
    pipeline[name].start()

    await pipeline.next_verified()
    await pipeline.next_verified()
    assert {n: pipeline[n].pid for n in others} == others
    assert [n for n in others if pipeline[n].status() is not None] == []

    async def all_served() -> bool:  # once who entered meanwhile is
        return await pipeline.universe() <= set(await pipeline.served())

    await eventually(all_served)


async def test_bad_rows_cost_only_themselves(pipeline: Pipeline) -> None:
    """NaN, negative, missing, unknown: named and counted, never posted, and everybody else is served."""
    batches = (await pipeline.get("backend", "/control/batches?since=0"))["batches"]
    await pipeline.fault(
        "exchange",
        [
            {"fault": "mark_value", "symbol": "BTCUSDT", "value": "NaN"},
            {"fault": "mark_value", "symbol": "ETHUSDT", "value": "-5.0"},
            {"fault": "ws_rows", "kind": "missing_p", "symbols": ["SOLUSDT"]},
            {"fault": "oi_value", "symbol": "XRPUSDT", "value": "garbage"},
            {"fault": "oi_value", "symbol": "BNBUSDT", "value": "0"},
            {"fault": "ws_rows", "kind": "empty_r", "symbols": ["DOGEUSDT"]},
            {"fault": "ws_rows", "kind": "unknown_fields", "share": 0.3},
        ],
    )

    async def left_out() -> dict[str, str]:
        found = {k.decode(): v.decode() for k, v in (await pipeline.redis.hgetall("oi:left_out")).items()}
        return found if {"BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT"} <= set(found) else {}

    reasons = await eventually(left_out)
    bad = await pipeline.metric("ws_daemon", "pipeline_bad_rows_total")
    rows = (await pipeline.get("backend", "/control/rows?limit=100000"))["rows"]
    fresh = [row for row in rows if row["batch"] > batches[-1]["id"]]

    assert {reasons[s] for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT")} == {"stale_mark"}
    assert reasons["BNBUSDT"] == "zero_open_interest"
    assert "DOGEUSDT" not in reasons
    assert sum(bad.values()) >= 3
    assert fresh
    assert all(row["openInterestUsd"] > 0 and row["markPrice"] > 0 and row["openInterest"] > 0 for row in fresh)


async def test_a_spike_is_told_to_the_backend_once_a_frame(pipeline: Pipeline) -> None:
    """A staged move at the exchange, to the row that the backend's database holds."""
    frames = {"OI_LOOKBACK_WINDOW_5MIN": "3", "OI_LOOKBACK_WINDOW_15MIN": "4"}
    pipeline.start_service("oi_alerter", OI_MIN_DELTA_CONTRACTS="50", OI_ALERT_WARM="off", **frames)
    await eventually(lambda: pipeline.redis.hexists("oi:alerter", "cursor"))  # what came before it is the past

    async def is_long_enough() -> bool:
        landed_ms = [int(blob.split(b"-")[0]) for blob, _ in await pipeline.redis.xrange("oi:sweeps")]
        return landed_ms[-1] - landed_ms[0] > 5000

    await eventually(is_long_enough)
    await pipeline.fault("backend", {"alertsSession": False})
    await pipeline.fault("exchange", {"fault": "oi_move", "symbol": "ETHUSDT", "percent": 8})

    async def told() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await pipeline.get("backend", "/api/open-interest-alerts?limit=100"))["alerts"]
        return rows if len(rows) >= 2 else []

    rows = await eventually(told)
    assert sorted((row["symbol"], row["direction"], row["timeframe"]) for row in rows) == [
        ("ETHUSDT", "UP", "15 min"),
        ("ETHUSDT", "UP", "5 min"),
    ]
    assert [float(row["pctChange"]) for row in rows] == [pytest.approx(0.08, abs=0.01)] * 2
    assert len({row["ts"] for row in rows}) == 1


async def test_the_hosts_scripts_are_answered_with_what_stands_in_redis_and_is_served(pipeline: Pipeline) -> None:
    pipeline.ports["api"] = free_port()
    pipeline.start_service("funding_api", FUNDING_API_PORT=str(pipeline.ports["api"]))

    async def answered() -> Any:
        with suppress(httpx.HTTPError):
            health = await pipeline.get("api", "/funding/health")
            return health if health.get("status") == "healthy" and health["websocketConnected"] else None

    health = await eventually(answered)
    assert health["symbolCount"] > 900

    async def same() -> bool:
        served, mark = await pipeline.served(), json.loads(await pipeline.redis.hget("oi:mark", "BTCUSDT"))
        oi = await pipeline.get("api", "/open-interest/BTCUSDT")
        funding = await pipeline.get("api", "/funding/btcusdt")
        keys = {"markPrice": "mark", "indexPrice": "index", "fundingRate": "funding", "nextFundingTime": "next"}
        is_same = (oi["verdict"], oi["servedUsd"]) == ("verified", served["BTCUSDT"])
        return is_same and all(funding[key] == float(mark[kept]) for key, kept in keys.items())

    await eventually(same)


async def test_the_key_is_nowhere_to_be_seen(pipeline: Pipeline) -> None:
    """Not in a log, a metric, the health page, Redis, or a process listing; nor where a POST is sent elsewhere."""
    await pipeline.fault("backend", {"fault": {"kind": "redirect", "location": "/elsewhere", "times": 1}})
    await pipeline.next_verified()
    seen = [child.log.read_text() for child in pipeline.children.values()]
    assert "redirect" in "".join(seen)
    seen += [str(await pipeline.redis.hgetall(key)) for key in ("oi:publisher", "oi:served", "oi:left_out")]
    for service in SERVICES:
        seen += [(await pipeline.api.get(pipeline.origin(service) + path)).text for path in ("/metrics", "/healthz")]
        seen.append(str(await pipeline.status(service)))
        seen.append(Path(f"/proc/{pipeline[service].pid}/cmdline").read_text())
    assert not [text for text in seen if KEY in text]


async def test_every_service_stops_cleanly_within_five_seconds(pipeline: Pipeline) -> None:
    """After which `stop` kills, as systemd does."""
    for service in SERVICES:
        assert pipeline[service].stop() == 0, pipeline[service].tail()
        pipeline[service].start()
    await pipeline.next_verified()
