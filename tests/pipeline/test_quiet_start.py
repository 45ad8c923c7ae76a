"""A start on an empty Redis, as at every installation: nobody is woken by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shared.agreed import METRICS_PORTS
from tests.pipeline.harness import STAND_INS, Pipeline


async def test_nothing_is_warned_of_that_nobody_has_to_act_on(tmp_path: Path) -> None:
    """Marks and volumes trickle in and every service waits for another's first word: that is no WARNING."""
    async with Pipeline(tmp_path) as pipeline:
        pipeline.start(*STAND_INS)
        for name in STAND_INS:
            await asyncio.to_thread(pipeline[name].until_listening, pipeline.ports[name])
        for name in METRICS_PORTS:
            pipeline.start_service(name, FUNDING_API_PORT="0")
        for _ in range(2):
            await pipeline.next_verified()
        said = [line for name in METRICS_PORTS for line in pipeline[name].tail(10_000).splitlines()]

    assert [line for line in said if line.startswith(("WARNING", "ERROR"))] == []
    assert len([line for line in said if line.startswith("started ")]) == len(METRICS_PORTS)
