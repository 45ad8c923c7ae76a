"""The faults that are quick to run, through the real processes; `make chaos` runs all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.catalogue import CATALOGUE
from tests.chaos.faults import Fault
from tests.chaos.run import Bench, measure

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


@pytest.mark.parametrize("falsify", ["served", "mark", "zero"])
async def test_a_wrong_value_does_not_go_unseen(bench: Bench, falsify: str) -> None:
    """Break it on purpose: a value falsified by the backend, a mark of another time, a zero. Each must be counted."""
    nothing = Fault(falsify, "", _falsify(falsify), 4, ())
    result = await measure(bench, nothing)
    assert result.wrong > 0
    assert any("BTCUSDT" in problem for problem in result.problems)


def _falsify(how: str):  # type: ignore[no-untyped-def]
    async def inject(rig) -> None:  # type: ignore[no-untyped-def]
        if how == "served":
            await rig.fault(
                "backend", {"fault": {"kind": "wrong-value", "route": "read", "symbols": {"BTCUSDT": 1.01}}}
            )
        elif how == "mark":
            await rig.exchange({"fault": "mark_value", "symbol": "BTCUSDT", "value": "93041.00000001"})
        else:
            await rig.fault("backend", {"write": {"BTCUSDT": 0}})

    return inject
