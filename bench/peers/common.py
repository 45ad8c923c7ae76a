"""What the Python peers share: how a sweep is measured, and how a value that came is told.

A peer is run by its own interpreter: ``x.py sweep ORIGIN TIMES`` prints one JSON object with the CPU and the wall time
of each sweep; ``x.py follow ORIGIN`` prints ``SYMBOL VALUE UNIX_MS`` for each value until it is killed. The symbols
come on stdin, a JSON array.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

BUDGET_PER_MIN = 2000  # requests a minute of those that have no limiter of their own


def symbols() -> list[str]:
    return list(json.load(sys.stdin))


def cpu_s() -> float:
    """CPU time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Meter:
    """CPU and wall time of sweeps; the first ones, which open connections, are not counted."""

    def __init__(self, times: int, version: str, warm_up: int = 1) -> None:
        self.left = times + warm_up
        self._warm_up = warm_up
        self._told: dict[str, list[float]] = {"cpu_s": [], "wall_s": [], "got": []}
        self._version = version
        self._begun = (0.0, 0.0)

    def begin(self) -> None:
        self._begun = (cpu_s(), time.monotonic())

    def end(self, got: int) -> bool:
        """Whether this was the last one."""
        spent = (cpu_s() - self._begun[0], time.monotonic() - self._begun[1], float(got))
        for name, value in zip(self._told, spent, strict=True):
            self._told[name].append(value)
        self.left -= 1
        return self.left == 0

    def tell(self) -> None:
        counted = {name: values[self._warm_up :] for name, values in self._told.items()}
        print(json.dumps(counted | {"version": self._version}))


def measure(sweep: Callable[[], int], times: int, version: str) -> None:
    """``sweep`` returns how many symbols it got."""
    meter = Meter(times, version)
    last = False
    while not last:
        meter.begin()
        last = meter.end(sweep())
    meter.tell()


def came(symbol: str, value: object) -> None:
    sys.stdout.write(f"{symbol} {value} {time.time_ns() // 1_000_000}\n")  # one write: threads must not mix lines
    sys.stdout.flush()


def interval_s(count: int) -> float:
    """From start to start of sweeps that keep within the budget."""
    return 60 * count / BUDGET_PER_MIN
