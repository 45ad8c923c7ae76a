"""One pass over the universe: steady, bounded, and never the prisoner of its slowest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.oi_poller.sweep import Ask, Failure, Outcome, failure_of, sweep
from services.oi_poller.weight import OutOfWeight
from shared.clock import SystemClock
from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.model import OpenInterest
from tests.builders import oi
from tests.fakes import FakeClock

SYMBOLS = [f"S{n:03}USDT" for n in range(100)]


def asking(answer: Callable[[str], object] = lambda _: 0.001) -> tuple[Ask, list[str]]:
    """``answer`` gives the seconds a symbol takes, or the error it ends in."""
    asked: list[str] = []

    async def ask(symbol: str) -> OpenInterest:
        asked.append(symbol)
        what = answer(symbol)
        await asyncio.sleep(what if isinstance(what, float) else 0.001)
        if isinstance(what, Exception):
            raise what
        return oi(symbol)

    return ask, asked


async def run(ask: Ask, in_flight: int = 8, deadline_s: float = 5.0, symbols: list[str] = SYMBOLS) -> Outcome:
    return await sweep(symbols, ask, SystemClock(), in_flight=in_flight, deadline_s=deadline_s)


async def test_every_symbol_is_asked_once_and_in_order() -> None:
    ask, asked = asking()

    outcome = await run(ask)

    assert asked == SYMBOLS
    assert set(outcome.fresh) == set(SYMBOLS)
    assert (outcome.failures, outcome.cause) == ({}, None)


async def test_a_steady_number_is_in_flight_though_one_is_slow() -> None:
    """Groups that wait for their slowest would take 13 times the slow one's time; here it holds one place."""
    under_way, seen = 0, []

    async def ask(symbol: str) -> OpenInterest:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        await asyncio.sleep(0.3 if symbol == SYMBOLS[10] else 0.005)
        under_way -= 1
        return oi(symbol)

    outcome = await run(ask)

    assert len(outcome.fresh) == 100
    assert max(seen) == 8
    assert sorted(seen)[20] >= 7


@pytest.mark.parametrize("number", [0, 50])
async def test_one_that_hangs_fails_alone_and_the_others_land_soon(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """342 good readings must not wait for the request timeout of one, though it be the first, which goes alone."""
    monkeypatch.setattr("services.oi_poller.sweep.STRAGGLERS_S", 0.3)  # in place of a second
    ask, _ = asking(lambda symbol: 300.0 if symbol == SYMBOLS[number] else 0.001)

    async with asyncio.timeout(20):
        outcome = await run(ask, deadline_s=300.0)

    assert outcome.failures == {SYMBOLS[number]: Failure.TIMEOUT}
    assert len(outcome.fresh) == 99


async def test_an_exchange_that_is_slow_for_all_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is no reason to give anybody up before the deadline: the last gets as long as all the others took."""
    monkeypatch.setattr("services.oi_poller.sweep.STRAGGLERS_S", 0.01)
    ask, _ = asking(lambda symbol: 0.3 if symbol == SYMBOLS[15] else 0.15)

    outcome = await run(ask, symbols=SYMBOLS[:16])

    assert len(outcome.fresh) == 16


async def test_the_deadline_ends_a_sweep_of_hanging_requests() -> None:
    ask, asked = asking(lambda symbol: 0.001 if symbol == SYMBOLS[0] else 30.0)

    outcome = await run(ask, deadline_s=0.3)

    assert set(outcome.fresh) == {SYMBOLS[0]}
    assert set(outcome.failures.values()) == {Failure.TIMEOUT}
    assert len(asked) == 9


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (RateLimited("429", 60.0), Failure.RATE_LIMITED),
        (Banned("418", 60.0, 1), Failure.BANNED),
    ],
)
async def test_nothing_is_sent_after_a_429_or_418_but_what_is_under_way(told: Exception, reason: Failure) -> None:
    """Each further request during a ban makes it longer."""
    ask, asked = asking(lambda symbol: told if symbol == SYMBOLS[20] else 0.01)

    outcome = await run(ask)

    assert len(asked) <= 20 + 8
    assert set(outcome.failures.values()) == {reason}
    assert outcome.fresh.keys() | outcome.failures.keys() == set(SYMBOLS)
    assert outcome.cause is told


async def test_a_ban_is_found_out_by_one_request() -> None:
    """It may have begun since the last sweep, through another script: 32 requests into it would extend it 32 times."""
    ask, asked = asking(lambda _: Banned("418", 60.0, 1))

    outcome = await run(ask)

    assert asked == SYMBOLS[:1]
    assert set(outcome.failures.values()) == {Failure.BANNED}


async def test_a_fault_of_the_whole_exchange_ends_the_sweep_early() -> None:
    """A blocked address is not asked 343 times whether it is still blocked."""
    ask, asked = asking(lambda _: Refused("451"))

    outcome = await run(ask)

    assert len(asked) <= 16
    assert set(outcome.failures.values()) == {Failure.REFUSED}
    assert isinstance(outcome.cause, Refused)


async def test_scattered_faults_cost_only_their_symbols() -> None:
    bad = {s: Transient("503") for s in SYMBOLS[::3]}
    ask, asked = asking(lambda symbol: bad.get(symbol, 0.001))

    outcome = await run(ask)

    assert asked == SYMBOLS
    assert outcome.failures == dict.fromkeys(bad, Failure.SERVER_ERROR)


async def test_any_number_of_delisted_symbols_is_no_fault_of_the_exchange() -> None:
    ask, asked = asking(lambda _: Rejected("400", -4108))

    outcome = await run(ask)

    assert asked == SYMBOLS
    assert set(outcome.failures.values()) == {Failure.NOT_TRADING}
    assert outcome.cause is None


async def test_weight_that_runs_out_is_waited_for_within_the_deadline_only(clock: FakeClock) -> None:
    """A universe larger than a minute's budget is swept over several minutes; any other lands what it has."""
    asked: list[str] = []

    async def ask(symbol: str) -> OpenInterest:
        if len(asked) >= 10 and clock.now_ms() < 1_764_720_060_000:
            raise OutOfWeight("spent", 60.0)
        asked.append(symbol)
        return oi(symbol)

    short = await sweep(SYMBOLS, ask, clock, in_flight=4, deadline_s=10.0)
    assert len(short.fresh) == 10
    assert set(short.failures.values()) == {Failure.OUT_OF_WEIGHT}

    asked.clear()
    long = await sweep(SYMBOLS, ask, clock, in_flight=4, deadline_s=70.0)
    assert asked == SYMBOLS
    assert long.failures == {}


def test_each_fault_has_one_name() -> None:
    """The reasons are a closed set: a metric label, and the publisher's books."""
    timeout, broken = Transient("t"), Transient("c")
    timeout.__cause__, broken.__cause__ = TimeoutError(), OSError()
    errors = [
        timeout,
        broken,
        Transient("503"),
        RateLimited("429"),
        Banned("418", 1.0, 1),
        OutOfWeight("spent"),
        Refused("451"),
        Rejected("404"),
        WireError("not_json"),
        Rejected("400", -4108),
        Rejected("400", -1121),
    ]

    assert [failure_of(e) for e in errors] == list(Failure)
