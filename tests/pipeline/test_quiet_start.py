"""A start on an empty Redis, as at every installation: nobody is woken by it."""

from __future__ import annotations

from pathlib import Path

import httpx

from shared.agreed import METRICS_PORTS
from tests.pipeline.harness import STAND_INS, Pipeline
from tests.waiting import eventually


async def test_nothing_is_warned_of_that_nobody_has_to_act_on(tmp_path: Path) -> None:
    """Marks and volumes trickle in and every service waits for another's first word: that is no WARNING."""
    pipeline = Pipeline(tmp_path)
    pipeline.start(*STAND_INS)

    async def up() -> bool:
        try:
            return bool([await pipeline.get(name, "/control") for name in ("exchange", "backend")])
        except httpx.HTTPError:
            return False

    try:
        await eventually(up)
        for name in METRICS_PORTS:
            pipeline.start_service(name, FUNDING_API_PORT="0")
        for _ in range(2):
            await pipeline.next_verified()
        said = [line for name in METRICS_PORTS for line in pipeline[name].tail(10_000).splitlines()]
    finally:
        await pipeline.close()

    assert [line for line in said if line.startswith(("WARNING", "ERROR"))] == []
    assert len([line for line in said if line.startswith("started ")]) == len(METRICS_PORTS)
