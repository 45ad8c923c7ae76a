"""oi_alerter: open interest that moves fast, over 5 minutes, 15 minutes and an hour, into ``oi:alerts``.

Reads ``oi:sweeps``, ``oi:universe``, ``oi:mark`` and ``oi:past``; writes ``oi:alerts`` and ``oi:alerter``. Does its job
only while it looks at fresh sweeps; the publisher delivers what it adds.
"""

from __future__ import annotations

import asyncio
import sys

from services.oi_alerter.alerter import Alerter
from services.oi_alerter.backfill import Backfill
from services.oi_alerter.detector import history_for
from services.oi_alerter.memory import Memory
from services.oi_alerter.metrics import Metrics
from services.oi_alerter.settings import Settings
from shared import http
from shared.ban import Ban
from shared.runner import run
from shared.service import Service
from shared.venues.binance.statistics import Statistics


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry, settings.frames)
    alerter = Alerter(settings, service, Memory(service.redis), history_for(settings.frames), metrics)
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(alerter.run())
        if settings.warm:
            jobs.create_task(backfill(settings, service, alerter))


async def backfill(settings: Settings, service: Service, alerter: Alerter) -> None:
    async with http.client(connections=1, proxy=settings.proxy) as client:
        ban = Ban(service.unfenced, service.clock, settings.egress)
        statistics = Statistics(settings.rest_url, client, ban, service)
        await Backfill(service, statistics, alerter.memory, alerter.history, alerter.ready, alerter.metrics).keep()


if __name__ == "__main__":
    sys.exit(run("oi_alerter", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone="cold"))
