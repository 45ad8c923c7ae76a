"""venue_poller: open interest of other venues, brought to one convention and held against Binance, into Redis.

Reads ``oi:mark`` and ``oi:contracts``; writes ``oi:venue:<venue>``, ``oi:venues`` and ``oi:ban:<venue>``. Does its job
while one of the venues chosen is believed; where VENUES is empty there is nothing to do, and it says so.
"""

from __future__ import annotations

import asyncio
import sys

from services.venue_poller.guest import Guest
from services.venue_poller.lines import Lines
from services.venue_poller.metrics import Metrics
from services.venue_poller.own import OwnRows, binance_in
from services.venue_poller.poller import VenuePoller
from services.venue_poller.settings import Settings
from services.venue_poller.standing import Standing
from services.venue_poller.venues import VENUES
from shared.ban import Ban
from shared.http import client
from shared.runner import run
from shared.service import Service

IDLE_S = 5.0
STALLED_S = 60.0
CONNECTIONS = 8


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    service.facts["venues"] = ",".join(settings.venues)
    while not settings.venues:
        service.health.good("idle: VENUES is empty, no other venue is read")
        await service.clock.sleep(IDLE_S)
    binance = binance_in(service.redis, metrics, service.clock)
    standing = Standing(service, settings.venues)

    async with client(CONNECTIONS) as http, asyncio.TaskGroup() as jobs:
        lines = {name: Lines(service.redis, name) for name in settings.venues}
        jobs.create_task(OwnRows(binance, lines, service, metrics).run())
        for name in settings.venues:
            venue, ban = VENUES[name], Ban(service.redis, service.clock, venue=name)
            guest = Guest(venue, settings.origins.get(name, venue.origin), http, ban, service.clock)
            jobs.create_task(VenuePoller(guest, binance, lines[name], service, metrics, standing.told).run())


if __name__ == "__main__":
    sys.exit(run("venue_poller", __doc__ or "", Settings, serve, limit_s=lambda _: STALLED_S, alone="cold"))
