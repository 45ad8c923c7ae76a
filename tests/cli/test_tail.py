"""Cycles as they end, each said once."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cli.tail import cycle, cycles
from shared.clock import iso
from shared.store import STATUS
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.waiting import eventually

WELL = {"state": "ok", "detail": "VERIFIED: 3 of 3", "verdict": "VERIFIED", "served": "3", "universe": "3"}


async def test_each_cycle_is_said_once(redis: Redis, clock: FakeClock) -> None:
    told = cycles(redis, clock)
    await redis.hset(STATUS + "publisher", mapping={**WELL, "batch": iso(NOW_MS)})
    first = await anext(told)
    waiting = asyncio.ensure_future(anext(told))
    await eventually(lambda: len(clock.slept) >= 3)
    await redis.hset(STATUS + "publisher", mapping={**WELL, "batch": iso(NOW_MS + 10_000)})
    second = await waiting

    assert (first.batch, second.batch) == (iso(NOW_MS), iso(NOW_MS + 10_000))
    assert (first.state, first.exit_status) == ("good", 0)
    assert "3/3 served" in first.line().plain


async def test_silence_is_said_too(redis: Redis, clock: FakeClock) -> None:
    found = await anext(cycles(redis, clock))
    assert found.exit_status == 2
    assert "publisher is not running" in found.line().plain


def test_what_is_wrong_stands_in_the_line() -> None:
    found = cycle({**WELL, "state": "degraded", "detail": "PARTIAL: 1 of 3; 2 not served", "backlog": "4"}, NOW_MS)
    assert found.exit_status == 1
    assert found.line().plain.endswith("4 waiting  PARTIAL: 1 of 3; 2 not served")


@given(st.dictionaries(st.sampled_from([*WELL, "batch", "backlog", "leftOut"]), st.text()))
def test_any_heartbeat_makes_a_line(fields: dict[str, str]) -> None:
    assert cycle(fields, NOW_MS).line().plain
