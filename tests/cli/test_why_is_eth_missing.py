"""Why is ETH missing? One command answers, in plain words: real processes, one staged fault after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.cli.command import Said, oi
from tests.pipeline.harness import KEY, Pipeline
from tests.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long, pytest.mark.timeout(300)]
DEGRADED, DOWN = 1, 2
WITHIN_S = 60.0
SCALED = {"OI_MAX_AGE_SEC": "6", "VERIFIED_MAX_AGE_SEC": "8", "OI_LISTINGS_INTERVAL_SEC": "10"}


class Fault(NamedTuple):
    """What is staged, and the hop, the words and the exit status that must come of it."""

    name: str
    exchange: tuple[dict[str, Any], ...] = ()
    backend: dict[str, Any] | None = None
    kill: str = ""
    hop: str = ""
    says: tuple[str, ...] = ()  # one of them: which depends on what the service saw first
    exit_status: int = DOWN


ETH: dict[str, Any] = {"symbol": "ETHUSDT"}
FAULTS = [
    Fault(
        "the stream sends no number for its price",
        exchange=({"fault": "ws_rows", "kind": "nan", "symbols": ["ETHUSDT"]},),
        hop="mark",
        says=("the stream sends no usable price for it",),
    ),
    Fault(
        "it was delisted",
        exchange=({"fault": "delist", **ETH},),
        hop="universe",
        says=(
            "it is not polled: the exchange says that it does not trade (-4108)",
            "it is not polled: the exchange no longer lists it as TRADING",
        ),
    ),
    Fault("the feed is dead", kill="ws_daemon", hop="mark", says=("ws_daemon is not running",), exit_status=DEGRADED),
    Fault(
        "the backend takes nothing, and has lost what it had",
        backend={"fault": {"kind": "status", "status": 503}, "dropCache": True},
        hop="post",
        says=("503",),
    ),
    Fault(
        "another writer feeds the backend",
        backend={"fault": {"kind": "second-writer", "values": {"ETHUSDT": 123.45}}},
        hop="served",
        says=("a value is served that nobody here sent: another writer feeds the backend",),
        exit_status=DEGRADED,
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    async with Pipeline(tmp_path_factory.mktemp("why"), cache_mode="replace", **SCALED) as pipeline:
        pipeline.start()
        await pipeline.next_verified(within_s=WITHIN_S)
        yield pipeline


async def stage(pipeline: Pipeline, fault: Fault) -> None:
    if fault.exchange:
        await pipeline.fault("exchange", list(fault.exchange))
    if fault.backend:
        await pipeline.fault("backend", fault.backend)
    if fault.kill:
        pipeline[fault.kill].kill()


async def test_status_names_the_hop_and_comes_back(pipeline: Pipeline) -> None:
    """First of all: another writer, who is among the faults, is told of for a quarter of an hour."""

    async def good() -> bool:
        return (await oi("status", env=pipeline.env)).exit_status == 0

    async def dead() -> dict[str, str] | None:
        said = await oi("status", "--json", env=pipeline.env)
        hops = {hop["hop"]: hop["state"] for hop in said.json["hops"]}
        return hops if said.exit_status == DOWN and hops["delivery"] == hops["served"] == "down" else None

    await eventually(good, within_s=WITHIN_S)
    pipeline["publisher"].kill()
    try:
        hops = await eventually(dead, within_s=WITHIN_S)
        why = (await oi("explain", "ETHUSDT", "--json", env=pipeline.env)).json
    finally:
        await pipeline.heal()

    assert hops["feed"] == hops["marks"] == hops["sweep"] == "good"
    assert why["fault"] == "post"
    assert "publisher is not running" in why["answer"]
    await eventually(good, within_s=WITHIN_S)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
async def test_one_command_says_why(pipeline: Pipeline, fault: Fault) -> None:
    """One question, asked at night by somebody who knows nothing else; test_explain.py has more reasons."""
    env = pipeline.env

    async def all_is_well() -> bool:
        return (await oi("explain", "ETHUSDT", env=env)).exit_status == 0

    async def blamed() -> Said | None:
        said = await oi("explain", "ETHUSDT", "--json", env=env)
        blames = said.json["fault"] == fault.hop and any(says in said.json["answer"] for says in fault.says)
        return said if blames and said.exit_status == fault.exit_status else None

    await eventually(all_is_well, within_s=WITHIN_S)
    await stage(pipeline, fault)
    try:
        said = await eventually(blamed, within_s=WITHIN_S)
        shown = await oi("explain", "ETH", env=env)
    finally:
        await pipeline.heal()

    first = " ".join(shown.out.splitlines()[:3])
    assert first.startswith("ETHUSDT is missing: " if fault.exit_status == DOWN else "ETHUSDT is not to be trusted: ")
    assert shown.exit_status == fault.exit_status
    assert KEY not in shown.out + shown.err + said.out
