"""``make demo``: the whole pipeline on the stand-ins. ``make run`` (``--live``): the same on the live exchange.

Starts Redis, the exchange, the backend and the services as processes of their own, starts again what dies (as systemd
would in production), shows a line for each cycle and each warning, and ends everything on Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from dev.processes import Child
from dev.stage import FOLDER, PORTS, ROOT, Stage

RESTART_AFTER_S = 1.0
LIVE_REST = "https://fapi.binance.com"
EXIT_SETTINGS = 78


def start(stage: Stage, args: argparse.Namespace) -> None:
    stage.redis()
    if args.live:
        require_exchange(os.environ.get("BINANCE_REST_URL") or LIVE_REST)
    else:
        stage.exchange(args.seed)
    stage.venues(os.environ.get("VENUES", ""), None if args.live else args.seed)
    if not (args.live and os.environ.get("BACKEND_URL")):
        stage.backend(args.port, args.cache_mode)
    for name in PORTS:
        stage.service(name)
    stage.write_env()


def introduce(stage: Stage) -> None:
    place = FOLDER.relative_to(ROOT)
    page = stage.env.get("BACKEND_URL") or os.environ["BACKEND_URL"]
    embedded = stage.children[0].name == "redis"
    redis_cli = f"redis-cli -p {urlsplit(stage.env['REDIS_URL']).port}" if embedded else 'redis-cli -u "$REDIS_URL"'
    print(f"\n  page      {page}/")
    print(f"  redis     {redis_cli} HGET oi:mark BTCUSDT      (more: docs/inspecting.md)")
    if stage.env.get("VENUES"):
        print(f"  venues    http://127.0.0.1:{stage.api_port}/open-interest/venues/BTC      (more: docs/venues.md)")
    for name, url in stage.health.items():
        print(f"  health    {url}  {name}")
    print("  look      .venv/bin/oi status      (also: top, explain ETHUSDT, tail, doctor; more: docs/cli.md)")
    print(f"  logs      tail -f {place}/log/publisher.log")
    print(f"  kill one  kill -9 $(cat {place}/run/publisher.pid)      started again after a second, as by systemd")
    print("  stop all  Ctrl-C\n", flush=True)


class Watcher:
    """Shows what matters of the logs and starts again what died, until we are told to stop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._readers = {child.name: child.log.open(errors="replace") for child in stage.children}
        self._dead_since: dict[str, float] = {}
        self._started_s = time.monotonic()
        self._verified = False

    def watch(self) -> None:
        while True:
            for child in self._stage.children:
                for line in self._readers[child.name]:
                    self._show(child.name, line)
                self._revive(child)
            time.sleep(0.1)

    def _show(self, name: str, line: str) -> None:
        if "verdict=VERIFIED" in line and not self._verified:
            self._verified = True
            print(f"  first verified cycle after {time.monotonic() - self._started_s:.1f} s", flush=True)
        if line.startswith(("cycle ", "alert ", "WARNING", "ERROR", f"{name}: ", "Traceback")):
            say(f"{name:<10} {line.rstrip()}")

    def _revive(self, child: Child) -> None:
        status = child.status()
        if status is None:
            return
        now_s = time.monotonic()
        if child.name not in self._dead_since:
            self._dead_since[child.name] = now_s
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            again = "not started again: a setting is wrong" if status == EXIT_SETTINGS else "starting it again"
            say(f"{child.name} {how}; {again}")
        elif status != EXIT_SETTINGS and now_s - self._dead_since[child.name] >= RESTART_AFTER_S:
            child.start()
            del self._dead_since[child.name]
            say(f"{child.name} started again, pid {child.pid}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def require_exchange(origin: str) -> None:
    """End with a clear message where the live exchange cannot be reached."""
    try:
        with urllib.request.urlopen(f"{origin}/fapi/v1/ping", timeout=10):
            return
    except urllib.error.HTTPError as e:
        cause = {451: "it does not serve this location", 403: "its firewall blocks this address"}.get(e.code, e.reason)
        said = f"answers {e.code}: {cause}"
    except OSError as e:
        said = f"cannot be reached from here: {getattr(e, 'reason', e)}"
    sys.exit(f"the exchange at {origin} {said}. `make demo` runs on a stand-in instead.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    parser.add_argument("--live", action="store_true", help="use the live exchange instead of the stand-in")
    parser.add_argument("--cache-mode", choices=["merge", "replace"], default=os.environ.get("CACHE_MODE") or "merge")
    parser.add_argument("--port", type=int, default=8787, help="the page's port (another is taken when it is busy)")
    parser.add_argument("--seed", type=int, default=1, help="of the stand-in's random walks")
    args = parser.parse_args()
    os.chdir(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started us in the background had it ignored
    stage = Stage()
    try:
        start(stage, args)
        introduce(stage)
        Watcher(stage).watch()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    finally:
        stage.stop()


if __name__ == "__main__":
    main()
