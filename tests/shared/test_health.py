"""The one truth about a service."""

from __future__ import annotations

import json

from shared.clock import iso
from shared.health import Health, Report
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


def test_the_json_is_what_monitors_read(clock: FakeClock) -> None:
    health = Health(clock, limit_s=5)
    before = health.report().as_json()
    clock.advance(1.5)
    health.good("745 marks")

    after = json.loads(json.dumps(health.report().as_json()))

    assert before["lastSuccess"] is None
    assert after == {
        "state": "ok",
        "since": iso(clock.now_ms()),
        "lastSuccess": iso(clock.now_ms()),
        "detail": "745 marks",
    }
