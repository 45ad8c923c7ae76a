"""The one truth about a service."""

from __future__ import annotations

import pytest

from shared.clock import iso
from shared.health import Health, Report
from tests.builders import NOW_MS
from tests.fakes import FakeClock


def test_a_service_that_has_done_nothing_is_not_healthy(clock: FakeClock) -> None:
    """Connected, subscribed, "no error": none of them is a number on the page."""
    health = Health(clock, limit_s=5)

    assert health.report() == Report("starting", clock.now_ms(), None, "nothing done yet")
    assert not health.report().healthy


def test_trouble_before_the_first_success_is_still_starting_and_says_why(clock: FakeClock) -> None:
    health = Health(clock, limit_s=5)
    started_ms = clock.now_ms()
    clock.advance(3)

    health.bad("waiting for Redis")

    assert health.report() == Report("starting", started_ms, None, "waiting for Redis")


def test_doing_the_job_is_what_makes_it_ok(clock: FakeClock) -> None:
    health = Health(clock, limit_s=5)
    clock.advance(2)

    health.good("745 marks")

    assert health.report() == Report("ok", clock.now_ms(), clock.now_ms(), "745 marks")
    assert health.report().healthy


def test_trouble_after_a_success_is_degraded_and_keeps_the_last_success(clock: FakeClock) -> None:
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    success_ms = clock.now_ms()
    clock.advance(1)

    health.bad("Redis is away")

    assert health.report() == Report("degraded", clock.now_ms(), success_ms, "Redis is away")
    assert not health.report().healthy


def test_silence_alone_stalls_it(clock: FakeClock) -> None:
    """A hung loop reports nothing bad; only the age of the last success gives it away."""
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    success_ms = clock.now_ms()
    clock.advance(5)
    at_the_limit = health.report()
    clock.advance(0.001)

    stalled = health.report()

    assert at_the_limit.state == "ok"
    assert stalled == Report("stalled", clock.now_ms(), success_ms, "nothing done for more than 5 s; last: 745 marks")
    clock.advance(60)
    assert health.report() == stalled


def test_it_recovers_from_stalled_and_from_degraded(clock: FakeClock) -> None:
    health = Health(clock, limit_s=5)
    health.good("first")
    clock.advance(6)
    assert health.report().state == "stalled"
    health.bad("stream lost")
    assert health.report().state == "degraded"
    clock.advance(1)

    health.good("again")

    assert health.report() == Report("ok", clock.now_ms(), clock.now_ms(), "again")


def test_since_changes_only_with_the_state(clock: FakeClock) -> None:
    """ "Degraded since 03:12" is the first thing an operator asks; each new detail must not restart it."""
    health = Health(clock, limit_s=5)
    health.good("one")
    ok_ms = clock.now_ms()
    clock.advance(1)
    health.good("two")
    still_ok = health.report()
    clock.advance(1)
    health.bad("Redis is away")
    bad_ms = clock.now_ms()
    clock.advance(1)
    health.bad("Redis is loading")

    assert (still_ok.since_ms, still_ok.detail) == (ok_ms, "two")
    assert (health.report().since_ms, health.report().detail) == (bad_ms, "Redis is loading")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    """Level, event and cause of what was logged since the last look."""
    said = [(r.levelname, r.getMessage(), r.facts.get("cause", r.facts.get("after"))) for r in caplog.records]  # type: ignore[attr-defined]
    caplog.clear()
    return said


def test_what_is_wrong_is_said_once_and_again_after_a_minute_and_when_it_is_over(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Every loop comes by several times a second; a log of that is read by nobody."""
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    for second in range(61):
        health.bad("waiting for Redis", f"cause {second}")
        assert health.report().detail == f"waiting for Redis: cause {second}"
        clock.advance(1)
    again = caplog.records[-1].facts  # type: ignore[attr-defined]
    assert (again["since"], again["held_back"]) == (iso(NOW_MS), 59)
    health.good("745 marks")
    health.good("745 marks")

    assert lines(caplog) == [
        ("WARNING", "waiting for Redis", "cause 0"),
        ("WARNING", "waiting for Redis", "cause 60"),
        ("INFO", "well again", "waiting for Redis"),
    ]


def test_what_comes_and_goes_is_said_no_more_often(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
    for _ in range(240):
        health.good("745 marks")
        health.bad("waiting for Redis", "away")
        clock.advance(0.5)

    assert [event for _, event, _ in lines(caplog)] == ["waiting for Redis", "well again"] * 2


def test_what_is_waited_for_at_a_start_is_no_warning_before_a_minute(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The services start in any order: one that waits for another's first word needs nobody's hand."""
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
    health.bad("waiting for marks", "none yet")
    clock.advance(60)
    health.bad("waiting for marks", "none yet")

    assert [level for level, _, _ in lines(caplog)] == ["INFO", "WARNING"]


def test_another_trouble_takes_the_place_of_the_first(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
    health.good("745 marks")
    health.bad("no stream delivers", "mute")
    health.bad("waiting for Redis", "away")
    health.good("745 marks")

    assert [(event, said) for _, event, said in lines(caplog)][-2:] == [
        ("waiting for Redis", "away"),
        ("well again", "waiting for Redis"),
    ]


def test_a_trouble_aside_is_said_alike_and_changes_no_state(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
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


def test_a_cause_that_its_caller_told_of_is_not_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    health = Health(clock, limit_s=5)
    health.bad("PARTIAL: 3 of 343 served")

    assert (health.report().detail, lines(caplog)) == ("PARTIAL: 3 of 343 served", [])
