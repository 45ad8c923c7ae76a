"""oi_keeper: open interest of each symbol in one SQLite file, each minute for 8 days, each five minutes for 400.

Reads ``oi:sweeps``, ``oi:contracts`` and ``oi:universe``; writes HISTORY_PATH and ``oi:changes``. Does its job only
while what comes gets into the file.
"""

from __future__ import annotations

import asyncio
import sys

from services.oi_keeper.keeper import Keeper
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.settings import Settings
from services.oi_keeper.teller import Teller
from shared.runner import run
from shared.service import Service


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(Keeper(settings, service, metrics).run())
        jobs.create_task(Teller(settings, service, metrics).run())


if __name__ == "__main__":
    sys.exit(run("oi_keeper", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone=True))
