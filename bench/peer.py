"""The peers: how each is started in the environment that holds it, and what is said of one that is not there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ages import Seen
from bench.results import FLOOR, NotThereError
from dev.exchange.values import made_ms
from dev.node import find_node
from dev.processes import die_with_parent

FOLDER = Path(__file__).resolve().parent
PYTHON = FOLDER / ".venv" / "bin" / "python"
SCRIPTS = FOLDER / "peers"


@dataclass(frozen=True)
class Peer:
    """``script`` asks for open interest; ``stream``, where there is one, follows the marks."""

    name: str
    script: str
    stream: str = ""

    def command(self, script: str) -> list[str]:
        script = str(SCRIPTS / script)
        if script.endswith(".cjs"):
            node = find_node()
            if node is None or not (FOLDER / "node_modules").is_dir():
                raise NotThereError("no Node with npm here to install it")
            return [node, script]
        if self is BARE:
            return [sys.executable, script]
        if not PYTHON.is_file():
            raise NotThereError("bench/.venv is missing: `make bench` makes it")
        return [str(PYTHON), script]

    async def sweeps(self, origin: str, symbols: Sequence[str], times: int, within_s: float) -> dict[str, Any]:
        """CPU and wall seconds of each sweep, without the one that opens connections; what it got; its version."""
        told = await self._told(within_s, symbols, self.script, "sweep", origin, str(times))
        if min(told["got"]) < len(symbols):
            raise NotThereError(f"got {min(told['got']):g} of {len(symbols)} symbols")
        return told

    async def follow(self, origin: str, symbols: Sequence[str], seconds: float) -> list[Seen]:
        """Every value as it came, until the time is over."""
        try:
            ended = await self._run(seconds, symbols, self.script, "follow", origin)
        except subprocess.TimeoutExpired as e:
            lines = (e.stdout or b"").rpartition(b"\n")[0].decode().splitlines()  # the last may be cut anywhere
        else:
            raise NotThereError(f"ended by itself: {_last_line(ended.stderr)}")
        if not lines:
            raise NotThereError("said nothing")
        return [_seen(line) for line in lines]

    async def feed(self, origin: str, seconds: float, *more: str) -> dict[str, Any]:
        """CPU seconds for each second of the stream of marks; its version."""
        return await self._told(seconds + 30, (), self.stream, "feed", origin, str(seconds), *more)

    async def _told(self, within_s: float, symbols: Sequence[str], script: str, *words: str) -> dict[str, Any]:
        """The one JSON object that a peer prints before it ends."""
        try:
            ended = await self._run(within_s, symbols, script, *words)
        except subprocess.TimeoutExpired:
            raise NotThereError(f"not done within {within_s:g} s") from None
        if ended.returncode != 0:
            raise NotThereError(f"ended with status {ended.returncode}: {_last_line(ended.stderr)}")
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    async def _run(
        self, within_s: float, symbols: Sequence[str], script: str, *words: str
    ) -> subprocess.CompletedProcess[bytes]:
        """In a thread of its own; killed when the time is over."""
        argv, said = [*self.command(script), *words], json.dumps(symbols).encode()
        return await asyncio.to_thread(
            lambda: subprocess.run(
                argv, input=said, capture_output=True, timeout=within_s, preexec_fn=die_with_parent, check=False
            )
        )


def _seen(line: str) -> Seen:
    symbol, value, got = line.rsplit(" ", 2)
    return Seen(symbol, int(got), made_ms(value, int(got)))


def _last_line(err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    return lines[-1][:160] if lines else "it said nothing"


REQUESTS = Peer("old way: requests, 20 threads", "requests_poller.py", "file_daemon.py")
CCXT = Peer("ccxt", "ccxt_poller.py", "ccxt_stream.py")
CRYPTOFEED = Peer("cryptofeed", "cryptofeed_poller.py")
TARDIS = Peer("tardis-dev", "tardis_poller.cjs")
BARE = Peer(FLOOR, "aiohttp_poller.py", "bare_stream.py")  # the floor: the same, and nothing else
PEERS = (REQUESTS, CCXT, CRYPTOFEED, TARDIS)
