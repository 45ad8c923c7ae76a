"""The parts of a pipeline on this machine, each a process of its own on the loopback: Redis, stand-ins, services."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from dev.node import require_node
from dev.processes import Child, stop_all
from dev.redis_server import free_port, server_command
from dev.venues.market import LISTS
from shared.agreed import METRICS_PORTS as PORTS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
T = TypeVar("T")


def preferred_port(port: int) -> int:
    """This port when nobody has it, else (and for 0) any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
        free: int = probe.getsockname()[1]
        return free


def call(url: str, body: Any = None, key: str = "") -> Any:
    """What a GET answers, or a POST where there is a ``body``; JSON both."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.load(answer)


def until(what: str, condition: Callable[[], T | None], within_s: float) -> T:
    """The first answer that is something; ends the process where there is none in time."""
    deadline_s = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() > deadline_s:
            sys.exit(f"{what}: not within {within_s:g} s")
        time.sleep(0.1)
    return answer


def claim(folder: Path) -> IO[str]:
    """One stage a checkout: pid files and logs stand at fixed places, for people to find. Held while the file is open.

    A lock, and not the number in it: of one that was killed that may be another process's by now.
    """
    mark = folder / "run" / "stage.pid"
    with contextlib.suppress(FileNotFoundError), mark.open() as before:
        try:
            fcntl.flock(before, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another demo runs here already, as process {before.read()}; end it first")
    shutil.rmtree(folder, ignore_errors=True)
    mark.parent.mkdir(parents=True)
    held = mark.open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    held.write(str(os.getpid()))
    held.flush()
    return held


class Stage:
    """``env`` is what every process started from now on is told; ``children`` are in the order of their start."""

    def __init__(self) -> None:
        self.env = {"PYTHONUNBUFFERED": "1", "LOG_FORMAT": "text"}
        self.children: list[Child] = []
        self.health: dict[str, str] = {}
        self.ports = {name: preferred_port(port) for name, port in PORTS.items()}
        self.api_port = preferred_port(8888)
        self._claim = claim(FOLDER)

    def add(self, name: str, argv: list[str], env: dict[str, str], port: int | None = None) -> Child:
        child = Child(name, argv, {**self.env, **env}, FOLDER)
        child.start()
        self.children.append(child)
        if port is not None:
            try:
                child.until_listening(port)
            except RuntimeError as e:
                sys.exit(str(e))
        return child

    def redis(self) -> None:
        """An embedded server, or the one that REDIS_URL names."""
        url = os.environ.get("REDIS_URL")
        if not url:
            port = free_port()
            self.add("redis", server_command(port, str(FOLDER)), {}, port)
            url = f"redis://127.0.0.1:{port}/0"
        self.env["REDIS_URL"] = url
        self.env["HISTORY_PATH"] = os.environ.get("HISTORY_PATH") or str(FOLDER / "history.db")

    def exchange(self, seed: int) -> None:
        port = free_port()
        argv = [sys.executable, "-m", "dev.exchange", "--port", str(port), "--seed", str(seed)]
        self.add("exchange", argv, {}, port)
        self.env |= {"BINANCE_WS_URL": f"ws://127.0.0.1:{port}", "BINANCE_REST_URL": f"http://127.0.0.1:{port}"}

    def venues(self, chosen: str, seed: int | None) -> None:
        """Other venues, where any are ``chosen``: the stand-in of all, or with no seed the venues themselves."""
        if not chosen:
            return
        self.env["VENUES"] = chosen
        if seed is not None:
            port = free_port()
            self.add("venues", [sys.executable, "-m", "dev.venues", "--port", str(port), "--seed", str(seed)], {}, port)
            self.env["VENUE_URLS"] = ",".join(f"{name}=http://127.0.0.1:{port}/{name}" for name in LISTS)

    def backend(self, preferred: int, cache_mode: str) -> None:
        port, key = preferred_port(preferred), secrets.token_hex(16)
        self.env |= {"BACKEND_URL": f"http://127.0.0.1:{port}", "BACKEND_API_KEY": key}
        env = {"PORT": str(port), "HOST": "127.0.0.1", "API_KEY": key, "CACHE_MODE": cache_mode}
        env["PIPELINE_HEALTH"] = ",".join(f"{name}=http://127.0.0.1:{at}/healthz" for name, at in self.ports.items())
        env["PAST_FROM"] = f"http://127.0.0.1:{self.api_port}"
        if self.env.get("VENUES"):
            env["VENUES_FROM"] = f"http://127.0.0.1:{self.api_port}/open-interest/aggregate"
        self.add("backend", [require_node(), "dev/backend/server.mjs"], env, port)

    def service(self, name: str, **env: str) -> None:
        port = self.ports[name]
        self.health[name] = f"http://127.0.0.1:{port}/healthz"
        if name == "funding_api":
            self.health["funding_api"] += f"   http://127.0.0.1:{self.api_port}/funding/BTCUSDT"
            env["FUNDING_API_PORT"] = str(self.api_port)
        self.add(name, [sys.executable, "-m", f"services.{name}"], {**env, "METRICS_PORT": str(port)})

    def write_env(self) -> None:
        """The settings in force, where `oi` looks for them; readable by this user alone, for the key is among them."""
        known = re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
        told = {**os.environ, **self.env}
        told["PIPELINE_HEALTH"] = ",".join(f"{name}={urls.split()[0]}" for name, urls in self.health.items())
        lines = [f"{name}={told[name]}\n" for name in (*known, "PIPELINE_HEALTH") if told.get(name)]
        path = FOLDER / "env"
        path.touch(mode=0o600)
        path.write_text("".join(lines))

    def stop(self) -> None:
        (FOLDER / "env").unlink(missing_ok=True)
        stop_all(self.children)
        (FOLDER / "run" / "stage.pid").unlink(missing_ok=True)
