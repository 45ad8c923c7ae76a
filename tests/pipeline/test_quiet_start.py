"""A start on an empty Redis, as at every installation: nobody is woken by it."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from shared.agreed import METRICS_PORTS
from tests.pipeline import harness
from tests.waiting import eventually


async def test_nothing_is_warned_of_that_nobody_has_to_act_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks and volumes trickle in and every service waits for another's first word: that is no WARNING."""
    monkeypatch.setattr(harness, "SERVICES", ())
    pipeline = harness.Pipeline(tmp_path)
    pipeline.ports["publisher"] = harness.free_port()
    pipeline.start()

    async def up() -> bool:
        try:
            return bool([await pipeline.get(name, "/control") for name in ("exchange", "backend")])
        except httpx.HTTPError:
            return False

    try:
        await eventually(up)
        for name in METRICS_PORTS:
            ports = {"METRICS_PORT": str(pipeline.ports.get(name, 0)), "FUNDING_API_PORT": "0"}
            pipeline._child(name, [sys.executable, "-m", f"services.{name}"], {**pipeline._env, **ports})
        for _ in range(2):
            await pipeline.next_verified()
        said = [line for name in METRICS_PORTS for line in pipeline[name].tail(10_000).splitlines()]
    finally:
        await pipeline.close()

    assert [line for line in said if line.startswith(("WARNING", "ERROR"))] == []
    assert len([line for line in said if line.startswith("started ")]) == len(METRICS_PORTS)
