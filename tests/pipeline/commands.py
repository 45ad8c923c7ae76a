"""Every command Redis obeys, by the service that sent it: MONITOR, and the names that connections were given."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from itertools import pairwise
from typing import Any

from redis.asyncio import Redis

from dev.redis_server import monitored

# 1764720000.123456 [0 127.0.0.1:51234] "HSET" "oi:mark" "BTCUSDT" ... : client address, command, first argument
_LINE = re.compile(rb'\d+\.\d+ \[\d+ ([^\]]+)\] "(\w+)"(?: "((?:[^"\\]|\\.)*)")?')


class Commands:
    """In the order Redis obeyed them, such as ``HSET oi:mark``; what a script calls by itself is not told."""

    def __init__(self, redis: Redis, port: int) -> None:
        self._redis = redis
        self._port = port
        self._names: dict[str, str] = {}
        self._seen: list[tuple[str, str]] = []
        self.watching = asyncio.Event()

    async def follow(self) -> None:
        async for line in monitored(self._port, self.watching):
            found = _LINE.match(line[:300])
            if found:
                command = b" ".join(filter(None, found.groups()[1:])).decode()
                self._seen.append((found[1].decode(), command))

    def clear(self) -> None:
        self._seen.clear()

    async def of(self, service: str) -> list[str]:
        """Those of the connections that carry its name."""
        clients: Any = await self._redis.client_list()
        self._names |= {client["addr"]: client["name"] for client in clients if client["name"]}
        return [command for address, command in self._seen if self._names.get(address) == service]


def rounds(commands: list[str], end: str) -> list[Counter[str]]:
    """What was sent from one ``end`` (left out) to the next (included); what is cut off at either side is dropped."""
    at = [n for n, command in enumerate(commands) if command == end]
    return [Counter(commands[a + 1 : b + 1]) for a, b in pairwise(at)]
