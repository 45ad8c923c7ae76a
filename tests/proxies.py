"""A proxy with a login, for who must reach the exchange through one: tinyproxy where it is installed, else ours.

Both keep what passed: the lines that tinyproxy logs, the requests that ours got.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dev.redis_server import free_port

USER, PASSWORD = "guest", "a-password-never-to-be-seen"
TINYPROXY = shutil.which("tinyproxy")


def url(port: int) -> str:
    """What BINANCE_PROXY holds; a letter of the password is percent-encoded, as others must be."""
    return f"http://{USER}:%{ord(PASSWORD[0]):x}{PASSWORD[1:]}@127.0.0.1:{port}"


class RunningProxy:
    def __init__(self, port: int, log: Path) -> None:
        self.where = f"127.0.0.1:{port}"
        self.url = url(port)
        self.log = log

    def passed(self, target: str) -> int:
        """How many requests for ``host:port`` or a URL it let through."""
        return self.log.read_text(errors="replace").count(target)


def command(port: int, folder: Path) -> list[str]:
    if not TINYPROXY:
        return [sys.executable, "-m", "tests.proxies", str(port)]
    settings = folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", f"BasicAuth {USER} {PASSWORD}"]
    settings.write_text("\n".join([*lines, "LogLevel Connect", "Timeout 60", "MaxClients 200", ""]))
    return [TINYPROXY, "-d", "-c", str(settings)]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[RunningProxy]:
    """It listens before this returns. A port that somebody took meanwhile is given up for another."""
    log = folder / "proxy.log"
    for _ in range(5):
        port = free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(command(port, folder), stdout=out, stderr=subprocess.STDOUT)
        try:
            if _listens(process, port):
                yield RunningProxy(port, log)
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(log.read_text())


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline_s = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process.poll() is None
        time.sleep(0.02)
    return False


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while blob := await reader.read(65536):
            writer.write(blob)
            await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """CONNECT, and GET of a whole URL; one request a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = head.split(" ", 2)
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if f"Proxy-Authorization: Basic {login}".lower() not in head.lower():
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return writer.close()
    print(method, target, flush=True)
    url = urlsplit(target if "://" in target else f"//{target}")
    there, to_there = await asyncio.open_connection(url.hostname, url.port)
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        path = f"{url.path}?{url.query}" if url.query else url.path
        head = head.replace(target, path, 1).replace("\r\n", "\r\nConnection: close\r\n", 1)
        to_there.write(head.encode("latin-1"))
    await asyncio.gather(_copy(reader, to_there), _copy(there, writer))
    return None


async def _serve(port: int) -> None:
    async with await asyncio.start_server(_pass_on, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
