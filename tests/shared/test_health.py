"""The one truth about a service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.clock import iso
from shared.health import Health, Report
from tests.builders import NOW_MS
from tests.fakes import FakeClock

Step = float | Callable[[Health], object]  # seconds that pass, or what is told or asked


def good(detail: str) -> Step:
    return lambda health: health.good(detail)


def bad(what: str) -> Step:
    return lambda health: health.bad(what)


MARKS, AWAY = good("745 marks"), bad("Redis is away")
STALLED = "nothing done for more than 5 s; last: 745 marks"


@pytest.mark.parametrize(
    ("steps", "state", "since_s", "success_s", "detail"),
    [
        # Connected, subscribed, "no error": none of them is a number on the page.
        ([], "starting", 0, None, "nothing done yet"),
        ([3, bad("waiting for Redis")], "starting", 0, None, "waiting for Redis"),
        ([2, MARKS], "ok", 2, 2, "745 marks"),
        ([MARKS, 1, AWAY], "degraded", 1, 0, "Redis is away"),
        # A hung loop reports nothing bad; only the age of the last success gives it away.
        ([MARKS, 5], "ok", 0, 0, "745 marks"),
        ([MARKS, 5.001], "stalled", 5.001, 0, STALLED),
        ([MARKS, 5.001, Health.report, 60], "stalled", 5.001, 0, STALLED),
        ([MARKS, 6, Health.report, AWAY], "degraded", 6, 0, "Redis is away"),
        ([MARKS, 6, Health.report, AWAY, 1, good("again")], "ok", 7, 7, "again"),
        # "Degraded since 03:12" is the first thing an operator asks; each new detail must not restart it.
        ([MARKS, 1, good("two")], "ok", 0, 1, "two"),
        ([MARKS, 2, AWAY, 1, bad("Redis is loading")], "degraded", 2, 0, "Redis is loading"),
    ],
)
def test_how_it_stands(
    clock: FakeClock, steps: list[Step], state: str, since_s: float, success_s: float | None, detail: str
) -> None:
    """Doing the job is what makes it ok; trouble and silence end that, and the state says since when."""
    health = Health(clock, limit_s=5)
    for step in steps:
        if callable(step):
            step(health)
        else:
            clock.advance(step)

    success_ms = None if success_s is None else NOW_MS + round(success_s * 1000)
    assert health.report() == Report(state, NOW_MS + round(since_s * 1000), success_ms, detail)
    assert health.report().healthy is (state == "ok")


@pytest.fixture
def health(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> Health:
    caplog.set_level("INFO")
    return Health(clock, limit_s=5)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    """Level, event and cause of what was logged since the last look."""
    said = [(r.levelname, r.getMessage(), r.facts.get("cause", r.facts.get("after"))) for r in caplog.records]  # type: ignore[attr-defined]
    caplog.clear()
    return said


def test_what_is_wrong_is_said_once_and_again_after_a_minute_and_when_it_is_over(
    health: Health, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Every loop comes by several times a second; a log of that is read by nobody."""
    health.good("745 marks")
    for second in range(61):
        health.bad("waiting for Redis", f"cause {second}")
        assert health.report().detail == f"waiting for Redis: cause {second}"
        clock.advance(1)
    again = caplog.records[-1].facts  # type: ignore[attr-defined]
    assert again["since"] == iso(NOW_MS)
    health.good("745 marks")
    health.good("745 marks")

    assert lines(caplog) == [
        ("WARNING", "waiting for Redis", "cause 0"),
        ("WARNING", "waiting for Redis", "cause 60"),
        ("INFO", "well again", "waiting for Redis"),
    ]


def test_what_comes_and_goes_is_said_no_more_often(
    health: Health, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(240):
        health.good("745 marks")
        health.bad("waiting for Redis", "away")
        clock.advance(0.5)

    assert [event for _, event, _ in lines(caplog)] == ["waiting for Redis", "well again"] * 2


def test_what_is_waited_for_at_a_start_is_no_warning_before_a_minute(
    health: Health, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The services start in any order: one that waits for another's first word needs nobody's hand."""
    health.bad("waiting for marks", "none yet")
    clock.advance(60)
    health.bad("waiting for marks", "none yet")

    assert [level for level, _, _ in lines(caplog)] == ["INFO", "WARNING"]


def test_another_trouble_takes_the_place_of_the_first(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    health.good("745 marks")
    health.bad("no stream delivers", "mute")
    health.bad("waiting for Redis", "away")
    health.good("745 marks")

    assert [(event, said) for _, event, said in lines(caplog)][-2:] == [
        ("waiting for Redis", "away"),
        ("well again", "waiting for Redis"),
    ]


def test_a_trouble_aside_is_said_alike_and_changes_no_state(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    health.over("ticker24h gave nothing")
    health.good("745 marks")
    for _ in range(3):
        health.aside("ticker24h gave nothing", cause="503")
    assert health.report().state == "ok"
    health.over("ticker24h gave nothing")

    assert lines(caplog) == [
        ("WARNING", "ticker24h gave nothing", "503"),
        ("INFO", "well again", "ticker24h gave nothing"),
    ]


def test_a_cause_that_its_caller_told_of_is_not_logged(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    health.bad("PARTIAL: 3 of 343 served")

    assert (health.report().detail, lines(caplog)) == ("PARTIAL: 3 of 343 served", [])


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
def test_a_trouble_lasts_as_long_as_it_lasts_though_the_clock_is_set(
    health: Health, clock: FakeClock, caplog: pytest.LogCaptureFixture, set_by_s: int
) -> None:
    health.aside("ticker24h gave nothing", cause="503")
    clock.set_wall(set_by_s)
    clock.advance(5)
    health.over("ticker24h gave nothing")

    assert caplog.records[-1].facts["lasted_s"] == 5  # type: ignore[attr-defined]
