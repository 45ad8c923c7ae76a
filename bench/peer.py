"""The peers: how each is started in the environment that holds it, and what is said of one that is not there."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ages import Seen, made_ms
from bench.results import FLOOR
from dev.node import find_node
from dev.processes import die_with_parent

FOLDER = Path(__file__).resolve().parent
PYTHON = FOLDER / ".venv" / "bin" / "python"
SCRIPTS = FOLDER / "peers"


class NotThereError(Exception):
    """This peer cannot be measured here; the text says why."""


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
        child = await self._start(self.script, "sweep", origin, str(times))
        told = await _told(child, json.dumps(symbols).encode(), within_s)
        if min(told["got"]) < len(symbols):
            raise NotThereError(f"got {min(told['got']):g} of {len(symbols)} symbols")
        return told

    async def follow(self, origin: str, symbols: Sequence[str], seconds: float) -> list[Seen]:
        """Every value as it came, until the time is over."""
        child = await self._start(self.script, "follow", origin)
        said = asyncio.create_task(child.communicate(json.dumps(symbols).encode()))
        await asyncio.wait({said}, timeout=seconds)
        early = said.done()
        _end(child)
        out, err = await said
        if early or not out:
            raise NotThereError(f"{'ended by itself' if early else 'said nothing'}: {_last_line(err)}")
        whole = out[: out.rindex(b"\n") + 1]
        return [_seen(line) for line in whole.decode().splitlines()]

    async def feed(self, origin: str, seconds: float, *more: str) -> dict[str, Any]:
        """CPU seconds for each second of the stream of marks; its version."""
        child = await self._start(self.stream, "feed", origin, str(seconds), *more)
        return await _told(child, b"", seconds + 30)

    async def _start(self, script: str, mode: str, origin: str, *more: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        argv = [*self.command(script), mode, origin, *more]
        return await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 24, preexec_fn=die_with_parent
        )


async def _told(child: asyncio.subprocess.Process, said: bytes, within_s: float) -> dict[str, Any]:
    """The one JSON object that a peer prints before it ends."""
    try:
        out, err = await asyncio.wait_for(child.communicate(said), within_s)
    except TimeoutError:
        raise NotThereError(f"not done within {within_s:g} s") from None
    finally:
        _end(child)
    if child.returncode != 0:
        raise NotThereError(f"ended with status {child.returncode}: {_last_line(err)}")
    told: dict[str, Any] = json.loads(out)
    return told


def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.send_signal(signal.SIGKILL)


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
