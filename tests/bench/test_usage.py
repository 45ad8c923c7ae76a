"""CPU and memory are those of one process, by the kernel's own count."""

from __future__ import annotations

import os
import time

from bench import usage


def test_cpu_grows_with_work_and_not_with_waiting() -> None:
    pid, begun_s = os.getpid(), time.process_time()
    before_s = usage.cpu_s(pid)
    while time.process_time() - begun_s < 0.1:
        pass
    spent_s = usage.cpu_s(pid) - before_s
    assert 0.08 < spent_s < 0.5


def test_resident_memory_is_plausible() -> None:
    assert 10 < usage.resident_mib(os.getpid()) < 5000
