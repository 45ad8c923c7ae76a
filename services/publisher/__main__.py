"""publisher: joins open interest and mark prices, posts them to the backend, and proves what is served.

Reads ``oi:sweeps``, ``oi:mark``, ``oi:universe`` and ``oi:alerts``; writes ``oi:served``, ``oi:left_out`` and
``oi:publisher``. Does its job only while the backend was seen to serve what was sent.
"""

from __future__ import annotations

import asyncio
import sys

from services.publisher.alerts import AlertDelivery
from services.publisher.backend import Backend
from services.publisher.batch import Batches
from services.publisher.delivery import Delivery
from services.publisher.metrics import Metrics
from services.publisher.outbox import Outbox
from services.publisher.readback import ReadBack
from services.publisher.report import Report
from services.publisher.settings import Settings
from services.publisher.universe import UniverseDelivery
from shared import http
from shared.runner import run
from shared.service import Service


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    report = Report(service, metrics, settings.verified_max_age_s)
    outbox = Outbox(service.redis)
    # Node drops a connection that was idle for five seconds; one that is let go before that is never posted into.
    async with http.client(connections=4, keepalive_s=4.0) as client, asyncio.TaskGroup() as jobs:
        backend = Backend(settings.backend_url, settings.backend_api_key, client, service.clock, settings.timeout_s)
        readback = ReadBack(settings.audit, backend, outbox, service.clock)
        batches = Batches(settings, backend, readback, outbox, metrics, service.clock)
        jobs.create_task(Delivery(settings, service, outbox, batches, report, metrics).run())
        jobs.create_task(UniverseDelivery(settings, service, backend, report, metrics).run())
        jobs.create_task(AlertDelivery(settings, service, backend, report, metrics).run())


def main() -> int:
    return run("publisher", __doc__ or "", Settings, serve, limit_s=lambda s: s.verified_max_age_s, alone="cold")


if __name__ == "__main__":
    sys.exit(main())
