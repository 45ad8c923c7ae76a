"""Resident memory of the pipeline's processes over time, MiB."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from pathlib import Path

from tests.pipeline.harness import SERVICES, Pipeline

PAGE = os.sysconf("SC_PAGE_SIZE")
GROWTH, SLACK_MIB = 1.25, 16.0  # what the end of a run may have over its beginning
REDIS_MIB = 512.0  # three hours of sweeps, at the scaled-down interval


def resident_mib(pid: int) -> float | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
    except (OSError, IndexError):
        return None


class Memory:
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._samples: dict[str, list[float]] = defaultdict(list)

    def sample(self) -> None:
        for name in (*SERVICES, "redis"):
            if (mib := resident_mib(self._pipeline[name].pid)) is not None:
                self._samples[name].append(mib)

    def problems(self) -> list[str]:
        """The last tenth against the first: a process that was just restarted must not hide one that grows."""
        found = []
        for name, samples in self._samples.items():
            begin, _, end = _ends(samples)
            bound = REDIS_MIB if name == "redis" else begin * GROWTH + SLACK_MIB
            if end > bound:
                found.append(f"{name} grew from {begin:.0f} to {end:.0f} MiB; {bound:.0f} allowed")
        return found

    def table(self) -> str:
        rows = [(name, *_ends(samples), max(samples)) for name, samples in self._samples.items()]
        lines = [f"| {name} | {a:.0f} | {b:.0f} | {c:.0f} | {d:.0f} |" for name, a, b, c, d in rows]
        return "\n".join(["| MiB | start | median | end | most |", "| --- | --- | --- | --- | --- |", *lines])


def _ends(samples: list[float]) -> tuple[float, float, float]:
    """Greatest of the first tenth, median of all, greatest of the last tenth."""
    tenth = max(1, len(samples) // 10)
    return max(samples[:tenth]), statistics.median(samples), max(samples[-tenth:])
