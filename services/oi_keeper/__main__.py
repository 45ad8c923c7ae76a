"""oi_keeper: open interest of each symbol in one SQLite file, each minute for 8 days, each five minutes for 400.

Reads ``oi:sweeps`` and ``oi:universe``; writes HISTORY_PATH. Does its job only while what comes gets into the file.
"""

from __future__ import annotations

import sys

from services.oi_keeper.keeper import Keeper
from services.oi_keeper.metrics import Metrics
from services.oi_keeper.settings import Settings
from shared.runner import run
from shared.service import Service


async def serve(settings: Settings, service: Service) -> None:
    await Keeper(settings, service, Metrics(service.registry)).run()


if __name__ == "__main__":
    sys.exit(run("oi_keeper", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone=True))
