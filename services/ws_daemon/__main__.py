"""ws_daemon: mark prices, funding and 24 h volume of Binance USDⓈ-M perpetuals, from the stream into Redis.

Writes ``oi:mark`` and ``oi:volume``. Does its job only while mark frames arrive and stand in Redis.
"""

from __future__ import annotations

import asyncio
import sys
from typing import NoReturn

from redis.asyncio import Redis

from services.ws_daemon.board import Board
from services.ws_daemon.coverage import Frozen
from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.rest import Rest
from services.ws_daemon.settings import Settings
from services.ws_daemon.writer import Writer
from shared import http
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import Transient
from shared.exchange import Exchange
from shared.logs import EventLog, first_names
from shared.runner import Service, run
from shared.store import UNIVERSE

log = EventLog("ws_daemon")
FROZEN_EVERY_S = 30.0


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    if settings.proxy:
        service.facts["proxy"] = settings.proxy.where
    board = Board()
    feed = Feed(settings, board, metrics, service.clock, service.facts)
    writer = Writer(service.redis, board, feed, service.health, metrics, service.clock)
    ban = Ban(service.redis, service.clock, settings.proxy)
    async with http.client(connections=2, proxy=settings.proxy) as client, asyncio.TaskGroup() as jobs:
        exchange = Exchange(settings.rest_url, http.getting(client), ban, service.clock)
        rest = Rest(settings, exchange, ban, feed, service.facts, service.clock)
        for slot in feed.slots:
            jobs.create_task(slot.keep())
        jobs.create_task(writer.keep_writing())
        jobs.create_task(rest.keep_volumes())
        jobs.create_task(rest.stand_in(metrics))
        jobs.create_task(watch_frozen(service.redis, board, metrics, service.facts, service.clock))


async def watch_frozen(redis: Redis, board: Board, metrics: Metrics, facts: dict[str, str], clock: Clock) -> NoReturn:
    """Flag symbols of the universe whose price stands still; the universe is the poller's word for what trades."""
    frozen = Frozen()
    known: set[str] = set()
    while True:
        await clock.sleep(FROZEN_EVERY_S)
        try:
            universe = await UNIVERSE.symbols(redis)
        except Transient:
            continue
        found = frozen.look(board.marks, universe)
        metrics.frozen.set(len(found))
        facts["frozen"] = ",".join(sorted(found)[:20])
        if found - known:
            log.warning("mark price stands still while others move", symbols=first_names(found - known))
        known = found


if __name__ == "__main__":
    sys.exit(run("ws_daemon", __doc__ or "", Settings, serve, limit_s=lambda s: s.idle_s + 2))
