"""``make demo``: the whole pipeline on the stand-ins. ``make run`` (``--live``): the same on the live exchange.

Starts Redis, the exchange, the backend and the services as processes of their own, starts again what dies (as systemd
would in production), shows a line for each cycle and each warning, and ends everything on Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from dev.node import require_node
from dev.processes import Child
from dev.redis_server import free_port, server_command

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
SERVICES = {"ws_daemon": 9101, "oi_poller": 9102, "publisher": 9103}
RESTART_AFTER_S = 1.0
LIVE_REST = "https://fapi.binance.com"


def preferred_port(port: int) -> int:
    """This port when nobody has it, else any free one."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


def wait_for_port(child: Child, port: int, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if child.status() is not None:
            sys.exit(f"{child.name} ended with status {child.status()}:\n{child.tail()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"{child.name} did not listen on port {port} within {within_s:g} s:\n{child.tail()}")


class Demo:
    def __init__(self, args: argparse.Namespace) -> None:
        self.live: bool = args.live
        self.cache_mode: str = args.cache_mode
        self.seed: int = args.seed
        self.page_port = preferred_port(args.port)
        self.env = {"PYTHONUNBUFFERED": "1", "LOG_FORMAT": "text"}
        self.children: list[Child] = []
        self.health: dict[str, str] = {}
        self.started_s = time.monotonic()

    def add(self, name: str, argv: list[str], env: dict[str, str], port: int | None = None) -> Child:
        child = Child(name, argv, {**self.env, **env}, FOLDER)
        child.start()
        self.children.append(child)
        if port is not None:
            wait_for_port(child, port)
        return child

    def start(self) -> None:
        self._start_redis()
        self._start_exchange()
        self._start_backend()
        for name, preferred in SERVICES.items():
            port = preferred_port(preferred)
            self.health[name] = f"http://127.0.0.1:{port}/healthz"
            self.add(name, [sys.executable, "-m", f"services.{name}"], {"METRICS_PORT": str(port)})

    def _start_redis(self) -> None:
        if os.environ.get("REDIS_URL"):
            self.redis = os.environ["REDIS_URL"]
            return
        port = free_port()
        self.redis = f"redis://127.0.0.1:{port}/0"
        self.add("redis", server_command(port, str(FOLDER)), {}, port)
        self.env["REDIS_URL"] = self.redis

    def _start_exchange(self) -> None:
        if self.live:
            require_exchange(os.environ.get("BINANCE_REST_URL") or LIVE_REST)
            return
        port = free_port()
        self.add(
            "exchange", [sys.executable, "-m", "dev.exchange", "--port", str(port), "--seed", str(self.seed)], {}, port
        )
        self.env |= {"BINANCE_WS_URL": f"ws://127.0.0.1:{port}", "BINANCE_REST_URL": f"http://127.0.0.1:{port}"}

    def _start_backend(self) -> None:
        if self.live and os.environ.get("BACKEND_URL"):
            self.page = os.environ["BACKEND_URL"]
            return
        key = secrets.token_hex(16)
        self.page = f"http://127.0.0.1:{self.page_port}"
        self.env |= {"BACKEND_URL": self.page, "BACKEND_API_KEY": key, "VOLSPIKE_API_URL": "", "VOLSPIKE_API_KEY": ""}
        env = {"PORT": str(self.page_port), "HOST": "127.0.0.1", "API_KEY": key, "CACHE_MODE": self.cache_mode}
        self.add("backend", [require_node(), "dev/backend/server.mjs"], env, self.page_port)

    def introduce(self) -> None:
        place = FOLDER.relative_to(ROOT)
        redis_cli = (
            f"redis-cli -p {self.redis.split(':')[-1].split('/')[0]}" if "REDIS_URL" in self.env else "redis-cli"
        )
        print(f"\n  page      {self.page}/")
        print(f"  redis     {redis_cli} HGET oi:mark BTCUSDT      (more: docs/inspecting.md)")
        for name, url in self.health.items():
            print(f"  health    {url}  {name}")
        print(f"  logs      tail -f {place}/log/publisher.log")
        print(f"  kill one  kill -9 $(cat {place}/run/publisher.pid)      started again after a second, as by systemd")
        print("  stop all  Ctrl-C\n", flush=True)

    def watch(self) -> None:
        """Show what matters of the logs and start again what died, until we are told to stop."""
        readers = {child.name: child.log.open(errors="replace") for child in self.children}
        dead_since: dict[str, float] = {}
        first_verified = True
        while True:
            for child in self.children:
                for line in readers[child.name]:
                    if "verdict=VERIFIED" in line and first_verified:
                        first_verified = False
                        print(f"  first verified cycle after {time.monotonic() - self.started_s:.1f} s", flush=True)
                    show(child.name, line)
                self._revive(child, dead_since)
            time.sleep(0.1)

    def _revive(self, child: Child, dead_since: dict[str, float]) -> None:
        status = child.status()
        if status is None:
            return
        now_s = time.monotonic()
        if child.name not in dead_since:
            dead_since[child.name] = now_s
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            again = "not started again: a setting is wrong" if status == 78 else "starting it again"
            say(f"{child.name} {how}; {again}")
        elif status != 78 and now_s - dead_since[child.name] >= RESTART_AFTER_S:
            child.start()
            del dead_since[child.name]
            say(f"{child.name} started again, pid {child.pid}")

    def stop(self) -> None:
        for child in reversed(self.children):
            child.stop()


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def show(name: str, line: str) -> None:
    if line.startswith(("cycle ", "WARNING", "ERROR", f"{name}: ", "Traceback")):
        say(f"{name:<10} {line.rstrip()}")


def require_exchange(origin: str) -> None:
    """End with a clear message where the live exchange cannot be reached."""
    try:
        with urllib.request.urlopen(f"{origin}/fapi/v1/ping", timeout=10):
            return
    except urllib.error.HTTPError as e:
        cause = {451: "it does not serve this location", 403: "its firewall blocks this address"}.get(e.code, e.reason)
        sys.exit(f"the exchange at {origin} answers {e.code}: {cause}. `make demo` runs on a stand-in instead.")
    except OSError as e:
        cause = getattr(e, "reason", e)
        sys.exit(
            f"the exchange at {origin} cannot be reached from here: {cause}. `make demo` runs on a stand-in instead."
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--live", action="store_true", help="use the live exchange instead of the stand-in")
    parser.add_argument("--cache-mode", choices=["merge", "replace"], default=os.environ.get("CACHE_MODE", "merge"))
    parser.add_argument("--port", type=int, default=8787, help="the page's port (another is taken when it is busy)")
    parser.add_argument("--seed", type=int, default=1, help="of the stand-in's random walks")
    args = parser.parse_args()
    os.chdir(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    shutil.rmtree(FOLDER, ignore_errors=True)
    demo = Demo(args)
    try:
        demo.start()
        demo.introduce()
        demo.watch()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    finally:
        demo.stop()


if __name__ == "__main__":
    main()
