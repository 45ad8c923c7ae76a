"""Start, watch, restart and end child processes: what systemd does in production, for a laptop and the tests."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.agreed import METRICS_PORTS

STOP_WITHIN_S = 5.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Runs in the child: on Linux it ends with us even if we are killed outright."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process, its log file and its pid file; it can be started again after it ended."""

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.argv = argv
        self.env = dict(env)
        self.log = folder / "log" / f"{name}.log"
        self.pid_file = folder / "run" / f"{name}.pid"
        self.process: subprocess.Popen[bytes] | None = None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us, and we end the children in order
                preexec_fn=die_with_parent,
            )
        self.pid_file.write_text(f"{self.process.pid}\n")

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    def status(self) -> int | None:
        """Exit status once it ended (negative: the signal), None while it runs."""
        return self.process.poll() if self.process else None

    def kill(self) -> None:
        """As ``kill -9`` would."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> None:
        """SIGTERM, without waiting."""
        if self.process is not None and self.status() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it does not end; returns the exit status."""
        if self.process is None:
            return 0
        self.end()
        try:
            status = self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        self.pid_file.unlink(missing_ok=True)
        return status

    def until_listening(self, port: int, within_s: float = 30.0) -> None:
        """RuntimeError with its last words where it ends first, or is not there in time."""
        deadline_s = time.monotonic() + within_s
        while self.status() is None and time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        ended = "" if self.status() is None else f"; it ended with status {self.status()}"
        raise RuntimeError(f"{self.name} does not listen on port {port}{ended}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def stop_all(children: Iterable[Child]) -> None:
    """The services all at once, then what they work with: the others."""
    by_kind: dict[bool, list[Child]] = {True: [], False: []}
    for child in children:
        by_kind[child.name in METRICS_PORTS].append(child)
    for group in by_kind.values():
        for child in group:
            child.end()
        for child in group:
            child.stop()
