"""oi_alerter: open interest that moves fast, over 5 minutes, 15 minutes and an hour, into ``oi:alerts``.

Reads ``oi:sweeps``, ``oi:universe`` and ``oi:mark``; writes ``oi:alerts``, ``oi:alerter`` and ``oi:history``. Does its
job only while it looks at fresh sweeps; the publisher delivers what it adds.
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
    memory, history = Memory(service.redis), history_for(settings.frames)
    alerter = Alerter(settings, service, memory, history, metrics)
    async with http.client(connections=1, proxy=settings.proxy) as client, asyncio.TaskGroup() as jobs:
        ban = Ban(service.unfenced, service.clock, settings.egress)
        statistics = Statistics(settings.rest_url, client, ban, service)
        backfill = Backfill(service, statistics, memory, history, alerter.ready, metrics)
        if settings.warm:
            jobs.create_task(backfill.keep())
        jobs.create_task(alerter.run(backfill))


def main() -> int:
    return run("oi_alerter", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone="cold")


if __name__ == "__main__":
    sys.exit(main())
