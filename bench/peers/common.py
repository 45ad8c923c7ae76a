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
from collections.abc import Callable, Iterator

WARM_UP_S = 3.0


def symbols() -> list[str]:
    return list(json.load(sys.stdin))


def cpu_s() -> float:
    """CPU time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def sweeps(times: int, version: str, warm_up: int = 1) -> Iterator[Callable[[int], None]]:
    """A turn for each sweep, which calls what it is given with how many symbols it got; then tells what they took.

    The first, which opens connections, is not counted.
    """
    told: dict[str, list[float]] = {"cpu_s": [], "wall_s": [], "got": []}
    for _ in range(times + warm_up):
        used_s, begun_s = cpu_s(), time.monotonic()
        yield told["got"].append
        told["cpu_s"].append(cpu_s() - used_s)
        told["wall_s"].append(time.monotonic() - begun_s)
    print(json.dumps({name: values[warm_up:] for name, values in told.items()} | {"version": version}), flush=True)


class Feed:
    """CPU of each second of a feed, from three seconds after it began."""

    def __init__(self, seconds: str) -> None:
        self._seconds = float(seconds)
        self._from_s = self._used_s = 0.0

    def over(self) -> bool:
        """To be asked after each frame."""
        now_s = time.monotonic()
        self._from_s = self._from_s or now_s + WARM_UP_S
        if now_s < self._from_s:
            self._used_s = cpu_s()
        return now_s > self._from_s + self._seconds

    def tell(self, version: str) -> None:
        cost_s = (cpu_s() - self._used_s) / (time.monotonic() - self._from_s)
        print(json.dumps({"cpu_s": [cost_s], "version": version}))


def came(symbol: str, value: object) -> None:
    sys.stdout.write(f"{symbol} {value} {time.time_ns() // 1_000_000}\n")  # one write: threads must not mix lines
    sys.stdout.flush()
