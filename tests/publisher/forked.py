"""A publisher process that starts in milliseconds: forked from a server that has imported everything.

It is a process of its own, with its own environment, signals and exit status; only the second that the interpreter
takes to import its modules is saved, so that a test can kill it twenty times.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["services.publisher.__main__"])


def _main(env: dict[str, str], log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(env)
    sys.argv = ["publisher"]
    from services.publisher.__main__ import main

    sys.exit(main())


class Forked:
    """Speaks like `dev.processes.Child`."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = dict(env)
        self.log = folder / "publisher.log"
        self.log.touch()
        self.process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        self.process = _context.Process(target=_main, args=(self.env, str(self.log)))
        self.process.start()

    def status(self) -> int | None:
        return self.process.exitcode if self.process else None

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.join()

    def stop(self) -> int:
        if self.process:
            self.process.terminate()
            self.process.join(5)
            self.kill()
        return self.status() or 0

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
