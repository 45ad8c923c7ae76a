"""A service as small as one can be, steered by a key in Redis: what it holds is what the service does next."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from redis.exceptions import RedisError

from shared.errors import Transient
from shared.logs import EventLog
from shared.runner import Alone, run
from shared.service import Service
from shared.settings import CommonSettings, number, setting, text
from shared.store import redis_faults

ORDERS = "tiny:orders"
LOOKS = "tiny:looks"
log = EventLog("tiny")


@dataclass(frozen=True)
class Settings(CommonSettings):
    pace_s: float = setting("TINY_PACE_SEC", "0.02", number(0.001, 10), "seconds between two looks at the orders")
    key: str = setting("TINY_KEY", "", text, "a key, never to be seen", secret=True)
    name: str = setting("TINY_NAME", "", text, "a name, to be seen on Ⓢcreen")


async def note(service: Service) -> None:
    """Where several share the work, each look leaves a trace."""
    if service.fence:
        try:
            await service.redis.rpush(LOOKS, service.host)
        except (Transient, RedisError) as e:
            log.warning("not noted", error=e)


async def serve(settings: Settings, service: Service) -> None:
    log.info("settings read", settings=settings)
    while True:
        try:
            async with redis_faults():
                orders = await service.redis.get(ORDERS)
        except Transient as e:
            log.warning("waiting for Redis", error=e)
            service.health.bad(str(e))
            orders = None
        if orders == b"work":
            service.health.good("one look at the orders")
            service.facts["looks"] = str(int(service.facts.get("looks", "0")) + 1)
            await note(service)
        elif orders == b"bug":
            raise ZeroDivisionError("a bug on order")
        elif orders == b"return":
            return
        await asyncio.sleep(settings.pace_s)


def main() -> int:
    alone: Alone = "cold" if os.environ.get("TINY_ALONE") else None
    return run("tiny", "A service for tests.", Settings, serve, limit_s=lambda s: 5.0, alone=alone)


if __name__ == "__main__":
    sys.exit(main())
