"""What a process has used, from /proc: CPU in seconds, resident memory in MiB, counted for it alone."""

from __future__ import annotations

import time
from pathlib import Path


def cpu_s(pid: int) -> float:
    """CPU time of all living threads; the first field of schedstat is time spent on a CPU, ns."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


class Spent:
    """What a process spends from now on."""

    def __init__(self, pid: int) -> None:
        self._pid, self._used_s, self._begun_s = pid, cpu_s(pid), time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._begun_s

    def share(self) -> float:
        """Of one core."""
        return (cpu_s(self._pid) - self._used_s) / self.seconds()


def resident_mib(pid: int) -> float:
    """All resident pages, those shared with other processes included."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024
