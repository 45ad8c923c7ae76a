"""``python -m dev.exchange``: the stand-in as a process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import sys
from pathlib import Path

from aiohttp import web

from dev.exchange.control import Control
from dev.exchange.hub import Hub
from dev.exchange.rest import Rest
from dev.exchange.sockets import Sockets, close_all
from dev.exchange.venue import Settings, Venue

BAD_USAGE = 78


def parser() -> argparse.ArgumentParser:
    """Every option with its default."""
    p = argparse.ArgumentParser(
        prog="python -m dev.exchange",
        description="A stand-in for Binance USDⓈ-M futures market data: REST and WebSocket on one port. Faults are set"
        " while it runs through POST /control; dev/exchange/README.md lists them.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    p.add_argument("--host", default="127.0.0.1", help="address to listen on")
    p.add_argument("--port", type=int, default=18090, help="port to listen on; 0 picks a free one and prints it")
    p.add_argument("--seed", type=int, default=1, help="same seed, same contracts and same prices at the same time")
    p.add_argument(
        "--seed-from", type=Path, metavar="FILE", help="start from the marks of a recorded premiumIndex body"
    )
    p.add_argument("--weight-limit", type=int, default=2400, help="request weight a UTC clock minute")
    p.add_argument("--ban-after", type=int, default=64, help="requests answered 429 in a minute before one gets 418")
    p.add_argument(
        "--ban-s", type=float, default=120.0, help="seconds of the first ban; each later one is twice as long"
    )
    p.add_argument("--no-retry-after", action="store_true", help="send 429 and 418 without Retry-After")
    p.add_argument("--ping-s", type=float, default=180.0, help="seconds between server pings")
    p.add_argument(
        "--pong-timeout-s", type=float, default=600.0, help="seconds without a pong before a connection is cut"
    )
    p.add_argument("--lifetime-s", type=float, default=86400.0, help="seconds a WebSocket connection may live")
    p.add_argument(
        "--tradfi-phase-ms", type=int, default=684, help="where in each second the TradFi frame falls, 1..999"
    )
    p.add_argument("--clock-in-values", action="store_true", help="marks and open interest carry the ms of the UTC day")
    p.add_argument("--clock-rate", type=float, default=1.0, help="how fast the venue's clock runs, frames and all")
    return p


def recorded_marks(path: Path) -> dict[str, float]:
    """Symbol to mark price of a premiumIndex body; COIN-M rows and unusable marks are left out."""
    rows = json.loads(path.read_bytes())
    return {row["symbol"]: float(row["markPrice"]) for row in rows if float(row["markPrice"]) > 0}


def settings(args: argparse.Namespace) -> Settings:
    return Settings(
        seed=args.seed,
        recorded=recorded_marks(args.seed_from) if args.seed_from else None,
        weight_limit=args.weight_limit,
        ban_after=args.ban_after,
        ban_s=args.ban_s,
        retry_after=not args.no_retry_after,
        ping_s=args.ping_s,
        pong_timeout_s=args.pong_timeout_s,
        lifetime_s=args.lifetime_s,
        tradfi_phase_ms=args.tradfi_phase_ms,
        clock_in_values=args.clock_in_values,
        clock_rate=args.clock_rate,
    )


async def serve(host: str, port: int, venue: Venue) -> None:
    """Listen until cancelled."""
    hub = Hub(venue)
    app = web.Application(client_max_size=1 << 20)
    Sockets(hub).add_to(app)
    Control(venue, hub).add_to(app)
    Rest(venue).add_to(app)  # last: it answers every path that is left
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True, keepalive_timeout=75)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        where = runner.addresses[0]
        print(f"exchange stand-in on http://{host}:{where[1]} seed={venue.settings.seed}", flush=True)
        gc.collect()
        gc.freeze()
        await hub.run()
    finally:
        await close_all(hub)
        await runner.cleanup()


async def run(host: str, port: int, venue: Venue) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel if task else loop.stop)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(host, port, venue)


def main() -> int:
    args = parser().parse_args()
    try:
        venue = Venue(settings(args))
    except (OSError, ValueError, KeyError, TypeError) as e:
        print(f"--seed-from {args.seed_from}: {e}", file=sys.stderr)
        return BAD_USAGE
    try:
        asyncio.run(run(args.host, args.port, venue))
    except OSError as e:
        print(f"cannot listen on {args.host}:{args.port}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
