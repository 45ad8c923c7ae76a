"""When open interest has moved enough to tell: values in, alerts out, time passed in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.oi_alerter.detector import Frame, history_for
from services.oi_alerter.history import Sample
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.oi_alerter import reference
from tests.oi_alerter.market import FIVE, PRODUCTION, Market, Watch, names
from tests.oi_alerter.reference import Event, Rule, Told


@pytest.fixture
def market(clock: FakeClock) -> Market:
    return Market(clock, Watch())


def test_a_spike_of_eight_per_cent_is_told_at_once_in_the_frames_it_crosses(market: Market) -> None:
    market.run(1_000_000, s=3700)

    first = market.run(1_080_000, s=10)
    later = market.run(1_080_000, s=7200)

    assert names(first) == ["UP 5 min", "UP 15 min"]
    assert first[0].change == pytest.approx(0.08)
    assert first[0].contracts == 80_000
    assert later == []


@pytest.mark.parametrize(
    ("before", "contracts", "told", "held_back"),
    [
        (1_000_000, 1_030_000, True, {}),
        (1_000_000, 1_029_999, False, {}),
        (1_000_000, 970_000, True, {}),
        # Three per cent of a small contract is a few people; 5,000 counts what changed, not what is outstanding.
        (100_000, 103_000, False, {"too_few_contracts": 1}),
        (100_000, 105_000, True, {}),
        (100_000, 104_999, False, {"too_few_contracts": 1}),
        (100_000, 95_000, True, {}),
        (100_000, 95_001, False, {"too_few_contracts": 1}),
        (100_000, 97_001, False, {}),
    ],
)
def test_from_the_threshold_and_so_many_contracts_on_either_way(
    clock: FakeClock, before: float, contracts: float, told: bool, held_back: dict[str, int]
) -> None:
    market = Market(clock, Watch([FIVE]))
    market.run(before, s=400)
    assert bool(market.run(contracts, s=10)) is told
    assert market.watch.held_back == held_back


CALM, RISE, FALL = (1_000_000, 400, ""), (1_050_000, 10, "UP"), (950_000, 10, "DOWN")


@pytest.mark.parametrize(
    ("cooldown_s", "course"),
    [
        # Once until it came back inside.
        (0, [CALM, RISE, (1_060_000, 100, ""), (1_020_000, 10, ""), RISE]),
        # A spike that turns into a dump is two messages, whatever the cooldown of the first.
        (600, [CALM, RISE, FALL]),
        # Still outside after the cooldown, and never inside: the same move, told once.
        (50, [CALM, RISE, (1_060_000, 200, "")]),
        # A crossing that ended within the cooldown is not told.
        (200, [CALM, RISE, (1_000_000, 90, ""), (1_050_000, 50, ""), (1_000_000, 150, "")]),
        # The latch is for what was told: a move that began too small is told when it is big enough.
        (600, [(100_000, 400, ""), (104_000, 10, ""), (106_000, 10, "UP")]),
        # A peak that was over in a moment is a dump one lookback later: there was more, five minutes ago.
        (600, [CALM, RISE, (1_000_000, 290, ""), (1_000_000, 10, "DOWN")]),
    ],
)
def test_what_is_told_in_the_course_of_a_move(
    clock: FakeClock, cooldown_s: int, course: list[tuple[float, int, str]]
) -> None:
    """Contracts, for how many seconds, and what is told meanwhile."""
    market = Market(clock, Watch([replace(FIVE, cooldown_ms=cooldown_s * 1000)]))
    for contracts, s, told in course:
        assert names(market.run(contracts, s=s)) == ([f"{told} 5 min"] if told else [])


def test_a_crossing_within_the_cooldown_waits_for_its_end(clock: FakeClock) -> None:
    """It is news, but not yet: told once the cooldown is over, if it still stands then."""
    market = Market(clock, Watch([replace(FIVE, cooldown_ms=200_000)]))
    market.run(1_000_000, s=400)
    market.run(1_050_000, s=10)
    market.run(1_000_000, s=90)

    waiting = market.run(1_050_000, s=100)
    held_back = market.watch.held_back
    told = market.run(1_050_000, s=10)

    assert waiting == []
    assert held_back == {"cooldown": 1}
    assert names(told) == ["UP 5 min"]


@pytest.mark.parametrize(
    ("lookback_s", "tolerance_s", "hole_s"),
    [(1, 1, 1), (10, 10, 10), (60, 30, 30), (300, 30, 150), (900, 90, 450), (3600, 120, 600), (7200, 120, 600)],
)
def test_tolerances(lookback_s: int, tolerance_s: int, hole_s: int) -> None:
    frame = Frame("x", lookback_s * 1000, 0.03, 0)
    assert (frame.tolerance_ms, frame.longest_hole_ms) == (tolerance_s * 1000, hole_s * 1000)
    rule = Rule("x", lookback_s * 1000, 0.03, 0)
    assert (reference.tolerance_ms(rule), reference.hole_ms(rule)) == (tolerance_s * 1000, hole_s * 1000)


def test_the_nearest_sample_is_the_baseline_and_of_two_the_older() -> None:
    watch = Watch([FIVE])
    for s, contracts in ((320, 1.0e6), (310, 2.0e6), (290, 3.0e6), (200, 3.0e6), (100, 3.0e6)):
        watch.see(contracts, NOW_MS - s * 1000)
    (alert,) = watch.see(4.0e6, NOW_MS)
    assert alert.baseline == Sample(NOW_MS - 310_000, 2.0e6, None)


@pytest.mark.parametrize(("after_s", "told"), [(129, []), (130, ["UP 5 min"])])
def test_no_alert_across_a_hole(after_s: int, told: list[str]) -> None:
    """The baseline is there, but what happened in the hole nobody saw; a few failed sweeps are none."""
    watch = Watch()
    for s in (300, 290, 280, after_s, 120):
        watch.see(1_000_000, NOW_MS - s * 1000)
    assert names(watch.see(1_050_000, NOW_MS)) == told
    assert watch.held_back["gap" if not told else "no_baseline"] >= 1


def test_a_move_after_an_outage_is_not_silenced_by_the_one_before(clock: FakeClock) -> None:
    """The latch is about what was told; that has left the window, though nobody saw it come back inside."""
    market = Market(clock, Watch())
    market.run(1_000_000, s=400)
    assert names(market.run(1_050_000, s=10)) == ["UP 5 min"]
    clock.advance(s=900)
    market.run(1_050_000, s=260)
    assert names(market.run(1_150_000, s=30)) == ["UP 5 min"]


def test_a_move_still_outside_one_lookback_later_is_told_once() -> None:
    """Looks as far apart as the lookback: the baseline is the very look that was told."""
    watch = Watch([Frame("5 min", 10_000, 0.03, 0)])
    told = [watch.see(contracts, NOW_MS + s * 1000) for s, contracts in ((0, 1.0e6), (10, 1.1e6), (20, 1.2e6))]
    assert [len(alerts) for alerts in told] == [0, 1, 0]


def test_history_is_bounded_whatever_the_pace() -> None:
    """A sweep a second for three hours: one sample a step, as far back as the longest look needs."""
    history = history_for(PRODUCTION)
    for second in range(3 * 3600):
        history.add("ETHUSDT", Sample(NOW_MS + second * 1000, 1_000_000.0, None))
    series = history.series["ETHUSDT"]
    assert len(series) == math.ceil(history.horizon_ms / 10_000)
    assert series.span_ms <= history.horizon_ms


def test_symbols_that_left_are_forgotten() -> None:
    watch = Watch()
    watch.see(1_000_000, NOW_MS, "GONEUSDT")
    watch.see(1_000_000, NOW_MS + 600_000)
    watch.history.forget_left(NOW_MS + 600_000)
    assert set(watch.history.series) == {"GONEUSDT", "ETHUSDT"}
    watch.history.forget_left(NOW_MS + 600_001)
    assert set(watch.history.series) == {"ETHUSDT"}


# Small enough that a path of sixty looks crosses all of their edges, and apart enough to differ in tolerance.
RULES = [
    Rule("5 min", 40_000, 0.03, 60_000),
    Rule("15 min", 100_000, 0.07, 20_000),
    Rule("1 hour", 320_000, 0.12, 0),
]
FRAMES = [Frame(*rule) for rule in RULES]
STEP_MS = 40_000 // 30

moves = st.one_of(
    st.just(1.0), st.sampled_from([1.03, 0.97, 1.08, 0.92, 1.13, 0.5, 2.0]), st.floats(0.95, 1.05, allow_nan=False)
)
waits = st.one_of(
    st.just(10_000),
    st.integers(1, 20_000),
    st.sampled_from([0, 500, 30_000, 51_000, 161_000, 400_000, -5000, -200_000]),
)


kinds = st.sampled_from(["see"] * 12 + ["relist", "restart"])
looks = st.tuples(
    kinds,
    waits,
    moves,
    st.sampled_from(["AUSDT"] * 3 + ["BUSDT"]),
    st.integers(0, 900),
    st.sampled_from([0, 1, 5000, -3000]),
)


def path_of(drawn: list[tuple[str, int, float, str, int, int]]) -> list[Event | None]:
    """Looks at two symbols with jitter, gaps, steps back in time and relistings; None is a restart."""
    path: list[Event | None] = []
    at_ms, level, onboard_ms = NOW_MS, {"AUSDT": 100_000.0, "BUSDT": 10_000.0}, {"AUSDT": 0, "BUSDT": 0}
    for kind, wait_ms, move, symbol, jitter_ms, listed_ms in drawn:
        at_ms += wait_ms
        if kind == "restart":
            path.append(None)
        if kind == "relist":
            onboard_ms[symbol] = max(onboard_ms[symbol], at_ms - listed_ms)  # a later listing only
        level[symbol] = max(1.0, round(level[symbol] * move, 3))
        path.append(Event(symbol, at_ms + jitter_ms, level[symbol], onboard_ms[symbol]))
    return path


@given(path=st.lists(looks, max_size=60).map(path_of), min_contracts=st.sampled_from([0.0, 5000.0]))
@settings(max_examples=300, deadline=None)
def test_it_tells_what_a_slow_and_obvious_reading_of_the_rules_tells(
    path: list[Event | None], min_contracts: float
) -> None:
    """Step by step and restarted in the middle, it must not differ from working everything out anew."""
    watch = Watch(FRAMES, min_contracts)
    told: list[Told] = []
    for event in path:
        if event is None:
            watch.restart()
            continue
        for alert in watch.see(event.contracts, event.at_ms, event.symbol, onboard_ms=event.onboard_ms):
            baseline = alert.baseline
            told.append(
                Told(*alert.key, event.at_ms, baseline.open_interest, baseline.at_ms, alert.current.open_interest)
            )

    assert told == reference.alerts([event for event in path if event], RULES, min_contracts, STEP_MS)
