"""A real stand-in process on a free port, put back to its start before each test."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).parents[2]
SEED = 7
READY = re.compile(r"exchange stand-in on http://([\d.]+):(\d+)")


class Exchange:
    """One running stand-in, spoken to like the venue."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "dev.exchange", "--port", "0", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = READY.search(line)
        assert found, f"said {line!r} instead of being ready"
        self.origin = f"{found[1]}:{found[2]}"
        self.url = f"http://{self.origin}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.http.get(path, params=params or None)

    def control(self, **fault: Any) -> dict[str, Any]:
        """Set one fault; returns what the route says was applied."""
        reply = self.http.post("/control", json=fault)
        assert reply.status_code == 200, reply.text
        applied: dict[str, Any] = reply.json()["applied"][0]
        return applied

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get("/control").json()
        return state

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[ClientConnection]:
        with connect(
            f"ws://{self.origin}{path}", proxy=None, max_size=8 << 20, ping_interval=None, close_timeout=1
        ) as ws:
            yield ws

    def close(self) -> int:
        self.http.close()
        self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.fixture(scope="session")
def running() -> Iterator[Exchange]:
    exchange = Exchange("--seed", str(SEED))
    yield exchange
    exchange.close()


@pytest.fixture(scope="session")
def running_fast() -> Iterator[Exchange]:
    exchange = Exchange("--seed", str(SEED), "--clock-rate", "6")
    yield exchange
    exchange.close()


@pytest.fixture
def fast(running_fast: Exchange) -> Exchange:
    """The same with a clock of six seconds a second, for tests that wait for frames and compare no clocks."""
    running_fast.http.post("/control/reset").raise_for_status()
    return running_fast


@pytest.fixture
def exchange(running: Exchange) -> Exchange:
    running.http.post("/control/reset").raise_for_status()
    return running


def now_ms() -> float:
    return time.time() * 1000


def frames(ws: ClientConnection, within_s: float = 30.0) -> Iterator[dict[str, Any]]:
    """The frames of a combined stream, as long as they come."""
    while True:
        message: dict[str, Any] = json.loads(ws.recv(timeout=within_s))
        yield message


def next_rows(ws: ClientConnection, symbol: str = "BTCUSDT") -> dict[str, dict[str, Any]]:
    """The rows of the next frame that has this symbol, by symbol."""
    for message in frames(ws):
        rows = {row["s"]: row for row in message["data"]}
        if symbol in rows:
            return rows
    raise AssertionError("unreachable: frames() ends by raising")
