"""oi_keeper: open interest of each symbol in one SQLite file, each minute for 8 days, each five minutes for 400.

Reads ``oi:sweeps``, ``oi:contracts`` and ``oi:universe``; writes HISTORY_PATH, on every host, and ``oi:changes``, where
it works. Does its job only while what comes gets into the file.
"""

from __future__ import annotations

import asyncio
import sys

from services.oi_keeper.backfill import Backfill
from services.oi_keeper.keeper import Keeper
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.settings import Settings
from services.oi_keeper.teller import Teller
from services.oi_keeper.venues import VenueKeeper
from shared import http
from shared.ban import Ban
from shared.runner import run
from shared.service import Service
from shared.venues.binance.statistics import Statistics

LATER_S = 5.0  # than the first changes are told: what they took of memory, and gave free, is used again, 1.5 MiB


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    keeper = Keeper(settings, service, metrics)
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(keeper.run())
        jobs.create_task(Teller(keeper.opened, settings, service, metrics).run())
        jobs.create_task(VenueKeeper(settings.path, service, metrics).run())
        if settings.backfill:
            jobs.create_task(backfill(settings, service, keeper, metrics))


async def backfill(settings: Settings, service: Service, keeper: Keeper, metrics: Metrics) -> None:
    await service.clock.sleep(LATER_S)
    async with http.client(connections=1, proxy=settings.proxy) as client:
        ban = Ban(service.unfenced, service.clock, settings.egress)
        statistics = Statistics(settings.rest_url, client, ban, service)
        await Backfill(service, statistics, keeper, metrics).keep()


if __name__ == "__main__":
    sys.exit(run("oi_keeper", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone="warm"))
