"""What a cycle's outcome makes of health, facts and metrics."""

from __future__ import annotations

from typing import Any

import pytest

from services.publisher.attempt import Attempt
from services.publisher.audit import Proof, Verdict
from services.publisher.metrics import Metrics
from services.publisher.report import REFUSED, Report
from services.publisher.wire import Snapshot
from shared.errors import Refused, Transient
from shared.service import Service
from tests import fakes
from tests.builders import NOW_MS
from tests.fakes import FakeClock

ALL = frozenset({"A", "B", "C", "D"})
SEEN = Snapshot(dict.fromkeys(ALL, 1.0), NOW_MS)


@pytest.fixture
def service(clock: FakeClock) -> Service:
    return fakes.service(clock)


@pytest.fixture
def report(service: Service) -> Report:
    return Report(service, Metrics(service.registry), fresh_s=60)


def proof(
    verdict: Verdict, right: int = 4, snapshot: Snapshot | None = SEEN, why: str = "", left: int = 0, **more: Any
) -> Proof:
    """Of a batch of four symbols, received one second apart, and so many left out."""
    left_out = {f"L{n}": "stale_mark" for n in range(left)}
    received = {key: NOW_MS - 30_000 - n * 1000 for n, key in enumerate(sorted(ALL))}
    values = dict.fromkeys(ALL, 1.0)
    attempt = Attempt("1-0", "s", NOW_MS, NOW_MS, 1.0, None, values, [], left_out, [], received)  # type: ignore[arg-type]
    return Proof(attempt, verdict, why, snapshot, right, **more)


def tell(report: Report, one: Proof) -> None:
    report.cycle(one, "yes", is_late=False, backlog=0)


@pytest.mark.parametrize(
    ("one", "healthy", "detail"),
    [
        (proof("VERIFIED"), True, "VERIFIED: 4 of 4 served as sent"),
        (proof("VERIFIED", left=4), True, "VERIFIED: 4 of 8 served as sent"),
        (
            proof("VERIFIED", left=5),
            False,
            "VERIFIED: 4 of 9 served as sent; most of the universe is left out: 5 stale_mark",
        ),
        (proof("UNAUDITED", 0, None), True, "UNAUDITED: 4 of 4 accepted; BACKEND_AUDIT=off"),
        (proof("PARTIAL", 3, why="1 not served (A)"), False, "PARTIAL: 3 of 4 served as sent; 1 not served (A)"),
    ],
)
def test_a_cycle_is_good_where_most_of_the_universe_was_seen_served(
    service: Service, report: Report, one: Proof, healthy: bool, detail: str
) -> None:
    tell(report, one)

    seen = service.health.report()
    assert (seen.healthy, seen.detail) == (healthy, detail)
    assert service.facts["blocked"] == ""


@pytest.mark.parametrize(("verified", "wait_s", "healthy"), [(True, 59, True), (True, 60, False), (False, 0, False)])
def test_what_only_a_cache_hides_is_borne_for_a_while_after_a_verified_cycle(
    service: Service, report: Report, clock: FakeClock, verified: bool, wait_s: float, healthy: bool
) -> None:
    service.health.limit_s = 3600
    tell(report, proof("VERIFIED") if verified else proof("PARTIAL", 3))
    clock.advance(wait_s)
    tell(report, proof("UNVERIFIED", 0, None, "a cache", cache_age_s=9.0))

    assert service.health.report().healthy is healthy
    assert (service.facts["verdict"], service.facts["served"], service.facts["cacheAgeS"]) == (
        "UNVERIFIED",
        "unknown",
        "9",
    )


@pytest.mark.parametrize("how", ["missing", "outdated", "unreadable", "foreign"])
def test_what_is_served_right_grows_old_and_what_is_not_does_not_count(
    service: Service, report: Report, clock: FakeClock, how: str
) -> None:
    tell(report, proof("PARTIAL", 3, ghosts=frozenset("XY"), **{how: frozenset("D")}))

    def gauge(name: str, **labels: str) -> float | None:
        return service.registry.get_sample_value(f"pipeline_{name}", labels)

    assert gauge("served_old_symbols") == 2
    clock.advance(0.001)
    assert gauge("served_old_symbols") == 3
    assert gauge("unserved_symbols", reason=how) == 1
    assert gauge("served_symbols") == 3
    assert gauge("ghost_symbols") == 2


def test_a_key_that_is_refused_is_one_matter_whoever_met_it(report: Report, caplog: pytest.LogCaptureFixture) -> None:
    report.complain("alerts wait", Refused("401"))
    report.complain("universe not delivered", Refused("401"))
    report.complain("universe not delivered", Transient("away"), retry_s=1.0)

    assert [record.getMessage() for record in caplog.records] == [REFUSED, "universe not delivered"]


def test_no_sweep_and_no_backend_are_said_by_fixed_words(service: Service, report: Report) -> None:
    report.silence(61.4)
    assert service.health.report().detail == "no sweep lands: is oi_poller running?: none for 61 s"
    report.trouble("the backend is away", Transient("x" * 300))
    assert service.facts["blocked"] == f"the backend is away: {'x' * 300}"[:200]
