"""Both connections reset, a kill and what must not go unseen, through the real processes; `make chaos` runs all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.catalogue import CATALOGUE
from tests.chaos.faults import Fault, Inject, answers
from tests.chaos.rig import Rig
from tests.chaos.run import Bench, measure
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAST = [fault for fault in CATALOGUE.values() if fault.fast]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with Bench(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.mark.parametrize("fault", FAST, ids=lambda fault: fault.name)
async def test_a_fault_is_noticed_survived_and_publishes_nothing_wrong(bench: Bench, fault: Fault) -> None:
    """No wrong value, no request during a ban, no symbol lost; noticed and recovered within the fault's own bounds."""
    result = await measure(bench, fault)
    assert not result.problems, f"{result.problems}\n{bench.rig.logs()}"


async def falsified_by_the_backend(rig: Rig) -> None:
    await rig.fault("backend", {"fault": {"kind": "wrong-value", "route": "read", "symbols": {"BTCUSDT": 1.01}}})


async def mark_of_another_time(rig: Rig) -> None:
    """For as long as it takes to be part of a batch."""
    value = "93041.00000001"
    await rig.exchange({"fault": "mark_value", "symbol": "BTCUSDT", "value": value})

    async def stands() -> bool:
        return value.encode() in await rig.redis.hget("oi:mark", "BTCUSDT")

    await eventually(stands)
    await rig.next_verified()


async def zero_from_another_writer(rig: Rig) -> None:
    await rig.fault("backend", {"write": {"BTCUSDT": 0}})


@pytest.mark.parametrize("inject", [falsified_by_the_backend, mark_of_another_time, zero_from_another_writer])
async def test_a_wrong_value_does_not_go_unseen(bench: Bench, inject: Inject) -> None:
    """Broken on purpose: a column that cannot turn proves nothing."""
    result = await measure(bench, Fault("falsified", "", inject, 2, ()))
    assert result.wrong > 0
    assert any("BTCUSDT" in problem for problem in result.problems)


async def ask_during_a_ban(rig: Rig) -> None:
    """Answered 200, though: another 418 would lengthen the ban by what only this rude client was told."""
    before = rig.manners.refusals
    await answers("418", retry_after=2, seconds=2)(rig)
    await eventually(lambda: rig.manners.refusals > before)
    await asyncio.sleep(0.5)
    await rig.fault("exchange", {}, "/control/reset")
    await rig.api.get(f"http://127.0.0.1:{rig.proxies['rest'].port}/fapi/v1/ping")


async def test_a_request_during_a_ban_does_not_go_unseen(bench: Bench) -> None:
    result = await measure(bench, Fault("rude", "", ask_during_a_ban, 1, ()))
    rude = [asked for asked in result.during_ban if "/openInterest?" not in asked]  # a sweep may be in flight still
    assert rude == ["GET /fapi/v1/ping HTTP/1.1"]
    assert any("requests during a ban" in problem for problem in result.problems)
