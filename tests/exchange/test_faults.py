"""What the control route accepts, and that its README tells the truth."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from dev.exchange.answers import ANSWERS
from dev.exchange.faults import SPECS, BadFaultError, Faults, check
from dev.exchange.rows import SPOILED_FRAMES, SPOILS, spoil, spoil_frame
from tests.exchange.conftest import ROOT

README = (ROOT / "dev" / "exchange" / "README.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"/control -d '(\{.*?\})'", README)]


@pytest.mark.parametrize("asked", EXAMPLES, ids=json.dumps)
def test_every_example_of_the_readme_is_accepted(asked: dict[str, Any]) -> None:
    assert check(asked)[0] == asked["fault"]


def test_the_readme_has_an_example_of_every_fault_and_names_every_answer_and_kind() -> None:
    assert {asked["fault"] for asked in EXAMPLES} == set(SPECS)
    for name in (*SPECS, *ANSWERS, *SPOILS, *SPOILED_FRAMES):
        assert f"`{name}`" in README, name


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"fault": "no_such"}, "no_such"),
        ({}, "None"),
        ({"fault": "ws_mute", "index": 0}, "not index"),
        ({"fault": "rest_answer"}, "needs answer"),
        ({"fault": "rest_answer", "answer": "teapot"}, "teapot"),
        ({"fault": "rest_latency", "ms": "10"}, "must be int or float"),
        ({"fault": "rest_latency", "ms": True}, "True"),
        ({"fault": "ws_mute", "seconds": 0}, "positive"),
        ({"fault": "ws_mute", "times": 1}, "no times"),
        ({"fault": "ws_reset", "seconds": 3}, "at once"),
    ],
)
def test_a_fault_that_would_silently_do_nothing_is_refused(asked: dict[str, Any], complaint: str) -> None:
    """A chaos run that misspells its fault must not pass for want of one."""
    with pytest.raises(BadFaultError, match=complaint):
        check(asked)


def test_times_run_out_and_ended_faults_are_gone() -> None:
    faults = Faults()
    fault = faults.add("ws_frames", {"kind": "truncated"}, None, 2)
    faults.use(fault)
    assert list(faults.of("ws_frames")) == [fault]
    faults.use(fault)
    assert not faults
    assert not faults.drop(fault), "the timer that comes later finds nothing to end"


async def test_what_hangs_on_a_fault_goes_on_when_it_ends() -> None:
    faults = Faults()
    fault = faults.add("rest_answer", {"answer": "hang"}, 1.0, None)
    waiter = asyncio.create_task(fault.over.wait())
    faults.drop(fault)
    assert await asyncio.wait_for(waiter, 30)


ROW = '{"e":"markPriceUpdate","E":1795450683000,"s":"BTCUSDT","p":"90378.45045090","r":"0.0001"}'
OTHER = ROW.replace("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nan", {"p": "NaN"}),
        ("zero", {"p": "0.00000000"}),
        ("negative", {"p": "-90378.45045090"}),
        ("empty_r", {"r": ""}),
        ("ticker_event", {"e": "24hrTicker", "p": "-54.1500"}),
    ],
)
def test_only_the_wanted_rows_are_spoiled(kind: str, expected: dict[str, Any]) -> None:
    spoiled, whole = spoil([ROW, OTHER], kind, lambda symbol: symbol == "BTCUSDT")
    assert json.loads(spoiled) == json.loads(ROW) | expected
    assert whole == OTHER


@pytest.mark.parametrize("kind", list(SPOILS))
def test_every_kind_changes_the_row(kind: str) -> None:
    assert spoil([ROW], kind, lambda _: True) != [ROW]


def test_the_oversize_frame_is_valid_and_over_three_mebibytes() -> None:
    """A client must fail on its size alone, or take it."""
    payload = spoil_frame(f"[{ROW},{OTHER}]".encode(), "oversize")
    assert len(payload) > 3 << 20
    assert [row["s"] for row in json.loads(payload)] == ["BTCUSDT", "ETHUSDT"]


def test_the_truncated_frame_is_not_json() -> None:
    with pytest.raises(ValueError, match=r"Unterminated|delimiter|Expecting"):
        json.loads(spoil_frame(f"[{ROW},{OTHER}]".encode(), "truncated"))
