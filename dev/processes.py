"""Start, watch, restart and end child processes: what systemd does in production, for a laptop and the tests."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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

    def stop(self) -> int:
        """SIGTERM, then SIGKILL if it does not end; returns the exit status."""
        if self.process is None:
            return 0
        if self.status() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        self.pid_file.unlink(missing_ok=True)
        return status

    def tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
