"""publisher: joins open interest and mark prices, posts them to the backend, and proves what is served.

Reads ``oi:sweeps``, ``oi:mark``, ``oi:universe`` and ``oi:alerts``; writes ``oi:served``, ``oi:left_out`` and
``oi:publisher``. Does its job only while the backend was seen to serve what was sent.
"""

from __future__ import annotations

import asyncio
import sys

from services.publisher.backend import Backend
from services.publisher.delivery import Delivery
from services.publisher.metrics import Metrics
from services.publisher.settings import Settings
from shared import http
from shared.runner import Service, run


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    async with http.client(connections=4) as client, asyncio.TaskGroup() as jobs:
        backend = Backend(settings.backend_url, settings.backend_api_key, client, service.clock, settings.timeout_s)
        jobs.create_task(Delivery(settings, service, backend, metrics).run())


if __name__ == "__main__":
    sys.exit(run("publisher", __doc__ or "", Settings, serve, limit_s=lambda s: s.verified_max_age_s))
