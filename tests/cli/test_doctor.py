"""What `oi doctor` finds, and that looking does no harm: the real processes and both stand-ins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.command import oi
from tests.pipeline.harness import KEY, Pipeline

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long, pytest.mark.timeout(180)]


async def findings(pipeline: Pipeline, *args: str, **env: str) -> dict[str, dict[str, Any]]:
    """By check, the heaviest of each."""
    said = await oi("doctor", "--json", *args, env={**pipeline.env, **env})
    assert KEY not in said.out + said.err
    found: dict[str, dict[str, Any]] = {}
    for finding in said.json["findings"]:
        found.setdefault(finding["check"], finding)
    return found


async def test_a_sound_pipeline_is_left_as_it_is(pipeline: Pipeline) -> None:
    """Weight 1 at the exchange, no batch at the backend, nothing written to Redis."""
    await pipeline.next_verified()
    before = (await pipeline.get("exchange", "/control"))["requests"].get("time", 0)
    newest = (await pipeline.get("backend", "/control/batches?since=0"))["batches"][-1]["id"]
    found = await findings(pipeline)
    after = (await pipeline.get("exchange", "/control"))["requests"].get("time", 0)
    batches = (await pipeline.get("backend", f"/control/batches?since={newest}"))["batches"]

    good = {"settings", "rest", "clock", "weight", "backend", "key", "size", "writers", "stream"}
    assert {check: found[check]["state"] for check in good} == dict.fromkeys(good, "good")
    assert after - before == 1
    assert [batch["status"] for batch in batches if not batch["stored"]] == [400]  # the empty object, and nothing else
    assert [batch["rows"] for batch in batches if batch["stored"] and batch["rows"] < 200] == []
    assert found["keeping"]["what"].startswith("Redis keeps nothing on disk")


async def test_the_retired_address_is_found_out(pipeline: Pipeline) -> None:
    """It connects and acknowledges, and sends nothing."""
    await pipeline.fault("exchange", {"fault": "ws_ack_mute"})
    found = await findings(pipeline)
    assert found["stream"]["state"] == "down"
    assert found["stream"]["what"].startswith("the stream sends no mark price within 5 s")


async def test_a_clock_that_is_off_is_measured(pipeline: Pipeline) -> None:
    await pipeline.fault("exchange", {"fault": "clock_skew", "ms": 20_000})
    assert (await findings(pipeline))["clock"]["state"] == "down"
