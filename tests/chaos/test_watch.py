"""What counts as a notice, and as memory that grows."""

from __future__ import annotations

from typing import cast

import pytest

from tests.chaos.memory import Memory
from tests.chaos.watch import Notice, Said, first
from tests.pipeline.harness import Pipeline

SAID = [
    Said(900, "ws_daemon", True, "connection ended cause=before the fault"),
    Said(1500, "ws_daemon", False, "marks flow connection=stream-1"),
    Said(2000, "oi_poller", True, "connection ended by somebody else"),
    Said(3000, "ws_daemon", True, "connection ended cause=no mark frame for 5.0 s"),
]


@pytest.mark.parametrize(
    ("notice", "at_ms"),
    [
        (Notice("ws_daemon", "connection ended"), 3000),
        (Notice("ws_daemon", r"no mark frame for [\d.]+ s"), 3000),
        (Notice("ws_daemon", "marks flow"), None),  # not loud
        (Notice("ws_daemon", "marks flow", quiet=True), 1500),
        (Notice("publisher", "connection ended"), None),
        (Notice("ws_daemon", "retired address"), None),
    ],
)
def test_only_the_right_words_of_the_right_service_after_the_fault_are_a_notice(
    notice: Notice, at_ms: int | None
) -> None:
    found = first([notice], SAID, since_ms=1000)
    assert (found and found.at_ms) == at_ms


@pytest.mark.parametrize(
    ("samples", "grew"),
    [
        ([60.0] * 30, False),
        ([60.0] * 29 + [85.0], False),
        ([60.0 + i for i in range(60)], True),
        ([60.0 + i for i in range(59)] + [60.0], True),  # restarted at the very end
    ],
)
def test_memory_that_grows_is_told_from_memory_that_does_not(samples: list[float], grew: bool) -> None:
    memory = Memory(cast("Pipeline", None))
    memory._samples["publisher"] = samples
    assert bool(memory.problems()) == grew
