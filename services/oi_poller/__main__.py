"""oi_poller: open interest of the liquid Binance USDⓈ-M perpetuals, by REST within the weight budget, into Redis.

Reads ``oi:mark`` and ``oi:volume``; writes ``oi:universe``, ``oi:contracts``, ``oi:sweeps`` and ``oi:ban``. Does its
job only while sweeps with fresh readings of most symbols land in Redis.
"""

from __future__ import annotations

import asyncio
import sys

from services.oi_poller.exchange import Fapi
from services.oi_poller.lastlook import look_at_minute_ends
from services.oi_poller.listings import Listings
from services.oi_poller.metrics import Metrics
from services.oi_poller.poller import Poller
from services.oi_poller.schedule import Schedule
from services.oi_poller.settings import Settings
from services.oi_poller.sweepstore import SweepStore
from services.oi_poller.transport import sweep_client
from services.oi_poller.universe import Rules, Universe
from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.runner import run
from shared.service import Service
from shared.venues.binance.rest import Exchange

REQUEST_TIMEOUT_S = 5.0


async def serve(settings: Settings, service: Service) -> None:
    clock, ban = service.clock, Ban(service.unfenced, service.clock, settings.egress)
    metrics, budget = Metrics(service.registry), WeightBudget(settings.per_minute, settings.reserve)
    metrics.watch(budget, ban, clock)
    service.facts["egress"] = settings.egress
    if settings.proxy:
        service.facts["proxy"] = settings.proxy.where
    rules = Rules(settings.contract_types, settings.quote_assets, settings.enter_quote, settings.exit_quote)
    universe, schedule = Universe(rules), Schedule(settings, budget, metrics, clock)
    store = SweepStore(service.redis, universe, metrics, clock, service.health, settings.min_interval_s)
    async with sweep_client(settings.in_flight, settings.proxy) as get, asyncio.TaskGroup() as jobs:
        fapi = Fapi(Exchange(settings.rest_url, get, ban, clock, timeout_s=REQUEST_TIMEOUT_S), ban, budget, clock)
        listings = Listings(fapi, universe, ban, metrics, service, settings.listings_s)
        poller = Poller(settings, service, fapi, ban, universe, listings, store, schedule, metrics)
        jobs.create_task(listings.keep(store.recalled))
        jobs.create_task(poller.run())
        if settings.per_minute is None:
            jobs.create_task(look_at_minute_ends(fapi, listings.tried))


def main() -> int:
    return run("oi_poller", __doc__ or "", Settings, serve, limit_s=lambda settings: settings.limit_s, alone="cold")


if __name__ == "__main__":
    sys.exit(main())
