"""What a process has used, from /proc: CPU in seconds, resident memory in MiB, counted for it alone."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU time of all living threads: in nanoseconds where the kernel counts them, else in ticks of 10 ms."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return sum(_run_ns((task / "schedstat").read_text()) for task in tasks.iterdir()) / 1e9
    except (FileNotFoundError, ValueError):
        return _ticks(Path(f"/proc/{pid}/stat").read_text()) * _TICK_S


def _run_ns(schedstat: str) -> int:
    """First field: time spent on a CPU, ns."""
    return int(schedstat.split()[0])


def _ticks(stat: str) -> int:
    """utime + stime; the process name before them may hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_mib(pid: int) -> float:
    """All resident pages, those shared with other processes included."""
    return _rollup_kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Rss") / 1024


def _rollup_kib(text: str, field: str) -> int:
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0])
    raise ValueError(f"no {field} in smaps_rollup")
