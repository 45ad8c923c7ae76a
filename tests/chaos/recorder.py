"""Every second of every symbol: what the exchange sent, and what was written to ``oi:mark``. Event times in Unix ms."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from typing import Any

from websockets.asyncio.client import connect

from dev.redis_server import monitored

COIN_M = 2
# HSET oi:mark BTCUSDT {"mark":...,"t":1764720000000,...} as MONITOR prints it: quoted, quotes escaped
_ROW = re.compile(rb'"((?:[^"\\]|\\.)+)" "\{\\"mark\\".*?\\"t\\":(\d{13})')


class Sent:
    """A connection of its own to the exchange, in front of which nothing stands."""

    def __init__(self) -> None:
        self.seconds: dict[str, set[int]] = defaultdict(set)
        self.connected = asyncio.Event()

    async def follow(self, origin: str) -> None:
        streams = f"{origin}/market/stream?streams=!markPrice@arr@1s"
        async with connect(streams, max_size=None, compression=None, ping_interval=None) as ws:
            self.connected.set()
            async for frame in ws:
                for row in _rows(frame):
                    if row["st"] != COIN_M:
                        self.seconds[row["s"]].add(row["E"])


def _rows(frame: str | bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame)["data"]
    return rows


class Written:
    """MONITOR tells every command that Redis obeys, whether or not anybody looks in time."""

    def __init__(self) -> None:
        self.seconds: dict[str, set[int]] = defaultdict(set)
        self.watching = asyncio.Event()

    async def follow(self, port: int) -> None:
        async for line in monitored(port, self.watching):
            if b'"HSET" "oi:mark"' in line:
                for name, event_ms in _ROW.findall(line):
                    self.seconds[_unescaped(name)].add(int(event_ms))


def _unescaped(name: bytes) -> str:
    return name.decode("unicode_escape").encode("latin-1").decode()


def missed(sent: Sent, written: Written, from_ms: int, until_ms: int) -> dict[str, list[int]]:
    """Symbol -> the seconds the exchange sent within these bounds that were never written."""
    gaps: dict[str, list[int]] = {}
    for symbol, seconds in sent.seconds.items():
        wanted = {second for second in seconds if from_ms <= second <= until_ms}
        if lost := wanted - written.seconds[symbol]:
            gaps[symbol] = sorted(lost)
    return gaps
