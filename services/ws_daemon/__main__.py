"""ws_daemon: mark prices, funding and 24 h volume of Binance USDⓈ-M perpetuals, from the stream into Redis.

Writes ``oi:mark`` and ``oi:volume``. Does its job only while mark frames arrive and stand in Redis.
"""

from __future__ import annotations

import asyncio
import sys
from typing import NoReturn

from services.ws_daemon.coverage import Frozen
from services.ws_daemon.feed import Feed
from services.ws_daemon.latest import Latest
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.rest import Rest
from services.ws_daemon.settings import Settings
from services.ws_daemon.slot import Slot
from services.ws_daemon.writer import Writer
from shared import http
from shared.ban import Ban
from shared.errors import Transient
from shared.logs import EventLog, first_names
from shared.runner import run
from shared.service import Service
from shared.store import UNIVERSE
from shared.venues.binance.rest import Exchange

log = EventLog("ws_daemon")
FROZEN_EVERY_S = 30.0


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    if settings.proxy:
        service.facts["proxy"] = settings.proxy.where
    feed = Feed(settings, service, metrics)
    ban = Ban(service.unfenced, service.clock, settings.egress)
    async with http.client(connections=2, proxy=settings.proxy) as client, asyncio.TaskGroup() as jobs:
        exchange = Exchange(settings.rest_url, http.getting(client), ban, service.clock)
        rest = Rest(settings, service, exchange, ban, feed, metrics)
        for number in range(1, settings.connections + 1):
            jobs.create_task(Slot(feed, number, settings).keep())
        jobs.create_task(Writer(service, feed, metrics).keep_writing())
        jobs.create_task(rest.keep_volumes())
        jobs.create_task(rest.stand_in())
        jobs.create_task(watch_frozen(service, feed.latest, metrics))


async def watch_frozen(service: Service, latest: Latest, metrics: Metrics) -> NoReturn:
    """Flag symbols of the universe whose price stands still; the universe is the poller's word for what trades."""
    frozen = Frozen()
    known: set[str] = set()
    while True:
        await service.clock.sleep(FROZEN_EVERY_S)
        try:
            universe = await UNIVERSE.symbols(service.redis)
        except Transient:
            continue
        found = frozen.look(latest.marks, universe)
        metrics.frozen.set(len(found))
        service.facts["frozen"] = ",".join(sorted(found)[:20])
        if found - known:
            log.warning("mark price stands still while others move", symbols=first_names(found - known))
        known = found


def main() -> int:
    return run("ws_daemon", __doc__ or "", Settings, serve, limit_s=lambda s: s.idle_s + 2, alone="warm")


if __name__ == "__main__":
    sys.exit(main())
