"""The Node stand-in as a real process, and short ways to speak to it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from dev.node import require_node

SERVER = Path(__file__).parents[2] / "dev" / "backend" / "server.mjs"
SETTINGS = (
    "PORT",
    "HOST",
    "API_KEY",
    "CACHE_MODE",
    "AS_OF",
    "BODY_LIMIT",
    "ROW_DELAY_MS",
    "ALERTS_SESSION",
    "EDGE_TTL_SEC",
    "EDGE_OBEYS",
    "PIPELINE_HEALTH",
    "VENUES_FROM",
)
OPEN_INTEREST = "/api/market/open-interest"
ALERTS = "/api/open-interest-alerts"
STAMP = "2025-12-03T05:10:00Z"
STAMP_MS = 1_764_738_600_000


def row(
    symbol: str = "BTCUSDT", contracts: float = 82345.123, mark: float = 93041.35202399, **more: Any
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "openInterest": contracts,
        "openInterestUsd": contracts * mark,
        "markPrice": mark,
        **more,
    }


def rows(count: int) -> list[dict[str, Any]]:
    return [row(f"S{index:03}USDT", 1000.5 + index, 2.25) for index in range(count)]


def alert(symbol: str = "BTCUSDT", direction: str = "UP", **more: Any) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "direction": direction,
        "baseline": 100_000.0,
        "current": 103_400.0,
        "pctChange": 0.034,
        "absChange": 3400.0,
        "timeframe": "5 min",
        "timestamp": STAMP,
        "source": "oi_realtime_poller",
    } | more


def start(**settings: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.Popen(
        [require_node(), str(SERVER)],
        env=inherited | {"PORT": "0"} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Backend:
    """One running stand-in."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.process = process
        self.ready_line = process.stdout.readline().strip()
        self.url = self.ready_line.split()[3]
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def ingest(self, data: list[Any], timestamp: str = STAMP, **options: Any) -> httpx.Response:
        body = {"data": data, "timestamp": timestamp, "totalSymbols": len(data), "source": "realtime"}
        return self.http.post(f"{OPEN_INTEREST}/ingest", json=body, **options)

    def read(self) -> dict[str, Any]:
        return self.http.get(OPEN_INTEREST).raise_for_status().json()

    def universe(self, *symbols: str, volume: float = 5e6) -> dict[str, Any]:
        entries = [
            {"symbol": symbol, "quoteVolume24h": volume, "enteredAt": STAMP, "lastSeenAt": STAMP} for symbol in symbols
        ]
        body = {"symbols": entries, "updatedAt": STAMP}
        return self.http.post(f"{OPEN_INTEREST}/liquid-universe/update", json=body).raise_for_status().json()

    def control(self, **changes: Any) -> dict[str, Any]:
        return self.http.post("/control", json=changes).raise_for_status().json()

    def fault(self, kind: str, **fields: Any) -> None:
        self.control(fault={"kind": kind, **fields})

    def batches(self) -> list[dict[str, Any]]:
        return self.http.get("/control/batches").json()["batches"]

    def rows(self, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
        return self.http.get("/control/rows", params={"symbol": symbol}).json()["rows"]

    @contextmanager
    def events(self) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
        """Events as (name, data), the snapshot first; a silence of 30 s fails the test."""
        with self.http.stream("GET", "/events", timeout=30) as response:
            assert response.headers["content-type"] == "text/event-stream"
            yield _parse(response.iter_lines())

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.communicate(timeout=30)


def _parse(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
