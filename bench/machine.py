"""The machine and the versions a run was made with: without them a figure says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dev.node import find_node
from dev.redis_server import server_binary

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("aiohttp", "httpx", "websockets", "redis", "hiredis", "msgspec", "msgpack", "prometheus-client")


def machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "node": _said([find_node() or "node", "--version"]),
        "redis": _said([server_binary(), "--version"])[:60],
        "commit": _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "libraries": {name: version(name) for name in LIBRARIES},
        "load before": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _said(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
