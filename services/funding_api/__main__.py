"""funding_api: marks, funding and open interest of Binance USDⓈ-M perpetuals over HTTP, for the scripts of this host.

Reads Redis and writes nothing to it but its heartbeat. Does its job only while Redis answers and marks are fresh.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from services.funding_api.app import Api, listen
from services.funding_api.bodies import State
from services.funding_api.metrics import Metrics
from services.funding_api.settings import Settings
from services.funding_api.snapshot import Reader
from services.funding_api.venues import Venues
from shared.clock import Clock
from shared.errors import Transient
from shared.logs import EventLog
from shared.runner import run
from shared.service import Service

LOOK_EVERY_S = 1.0
STALLED_S = 10.0
log = EventLog("funding_api")


async def serve(settings: Settings, service: Service) -> None:
    metrics = Metrics(service.registry)
    reader = Reader(service.redis, metrics, service.clock)
    venues = Venues(service.redis, metrics, service.clock)
    api = Api(settings, reader, venues, metrics, service.clock)
    state_file = Path(settings.state_file) if settings.state_file else None
    async with listen(api.app(), settings.host, settings.port) as address:
        service.facts["address"] = address
        log.info("listening", address=address, state_file=state_file or "none")
        await watch(api, service, metrics, state_file)


async def watch(api: Api, service: Service, metrics: Metrics, state_file: Path | None) -> NoReturn:
    """Once a second: can the answers be relied on? Then the state file, made of the same read."""
    while True:
        trouble = await look(api, state_file, metrics, service.clock)
        if trouble is None:
            service.health.good(f"answering on {service.facts['address']}")
        else:
            service.health.bad("answers cannot be relied on", trouble)
        await service.clock.sleep(LOOK_EVERY_S)


async def look(api: Api, state_file: Path | None, metrics: Metrics, clock: Clock) -> str | None:
    """What is wrong, in one line; None when nothing is."""
    try:
        answers = await api.answers()
    except Transient as e:
        return str(e)
    if state_file is not None:
        try:
            await asyncio.to_thread(replace, state_file, answers.state())
        except OSError as e:
            return f"STATE_FILE={state_file}: cannot be written: {e.strerror or e}"
        metrics.state_file.set(clock.now_ms() / 1000)
    return answers.trouble()


def replace(path: Path, state: State) -> None:
    """STATE_FILE, for scripts that read ``.funding_state.json`` instead of asking: whole, never a part. Raises OSError.

    While Redis is away it stays as it is, and its ``updated_at`` and ``updatedAt`` grow old. The temporary file stands
    beside it: a rename is atomic only within one file system.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.encode(state))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(run("funding_api", __doc__ or "", Settings, serve, limit_s=lambda _: STALLED_S))
