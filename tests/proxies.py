"""tinyproxy with a login, for who must reach the exchange through a proxy; it logs what passed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.processes import Child
from dev.redis_server import free_port

USER, PASSWORD = "guest", "a-password-never-to-be-seen"
TINYPROXY = shutil.which("tinyproxy")


def url(port: int) -> str:
    """What BINANCE_PROXY holds; a letter of the password is percent-encoded, as others must be."""
    return f"http://{USER}:%{ord(PASSWORD[0]):x}{PASSWORD[1:]}@127.0.0.1:{port}"


def command(port: int, folder: Path) -> list[str]:
    settings = folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", f"BasicAuth {USER} {PASSWORD}"]
    settings.write_text("\n".join([*lines, "LogLevel Connect", "Timeout 60", "MaxClients 200", ""]))
    return [str(TINYPROXY), "-d", "-c", str(settings)]


class RunningProxy:
    def __init__(self, port: int, log: Path) -> None:
        self.where = f"127.0.0.1:{port}"
        self.url = url(port)
        self._log = log

    def passed(self, target: str) -> int:
        """How many requests for ``host:port`` or a URL it let through."""
        return self._log.read_text(errors="replace").count(target)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[RunningProxy]:
    """It listens before this returns."""
    if not TINYPROXY:
        pytest.skip("no tinyproxy (apt: tinyproxy)")
    port = free_port()
    child = Child("tinyproxy", command(port, folder), {}, folder)
    child.start()
    try:
        child.until_listening(port)
        yield RunningProxy(port, child.log)
    finally:
        child.kill()
