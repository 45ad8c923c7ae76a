"""Each fault does what the README says, ends when it should, and leaves the books of the stand-in true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.backend.stand_in import ALERTS, OPEN_INTEREST, Backend, alert, row
from tests.waiting import until


def last_batch(backend: Backend) -> dict[str, Any]:
    return backend.batches()[-1]


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_errors_of_the_backend_are_json(backend: Backend, status: int) -> None:
    backend.fault("status", status=status)

    answer = backend.ingest([row()])

    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert (last_batch(backend)["status"], last_batch(backend)["rows"], last_batch(backend)["stored"]) == (status, 1, 0)
    assert backend.read()["data"] == {}


@pytest.mark.parametrize("status", [413, 502, 503, 504])
def test_errors_of_a_proxy_are_html(backend: Backend, status: int) -> None:
    backend.fault("status", status=status)

    answer = backend.ingest([row()])

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert answer.text.startswith(f"<html>\r\n<head><title>{status} ")


def test_a_429_says_when_to_come_back(backend: Backend) -> None:
    backend.fault("status", status=429, retryAfter=17)

    assert backend.ingest([row()]).headers["retry-after"] == "17"


def test_a_fault_ends_after_so_many_requests(backend: Backend) -> None:
    backend.fault("status", status=503, times=2, after=1)

    assert [backend.ingest([row()]).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert backend.http.get("/control").json()["faults"] == []


def test_a_fault_ends_after_so_many_seconds(backend: Backend) -> None:
    backend.fault("status", seconds=0.3)

    assert backend.ingest([row()]).status_code == 500
    until(lambda: backend.ingest([row()]).status_code == 200)


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        ({"route": "ingest"}, {"ingest"}),
        ({"route": "read"}, {"read"}),
        ({"route": "universe", "method": "POST"}, {"universe update"}),
        ({"route": "universe", "method": "GET"}, {"universe"}),
        ({"route": "alerts"}, {"alert", "alerts"}),
        ({"route": "any"}, {"ingest", "read", "universe update", "universe", "alert", "alerts"}),
    ],
)
def test_a_fault_hits_its_route_alone(backend: Backend, fields: dict[str, str], hit: set[str]) -> None:
    backend.control(alertsSession=False)
    backend.fault("status", status=502, **fields)

    statuses = {
        "ingest": backend.ingest([row()]),
        "read": backend.http.get(OPEN_INTEREST),
        "universe update": backend.http.post(f"{OPEN_INTEREST}/liquid-universe/update", json={"symbols": []}),
        "universe": backend.http.get(f"{OPEN_INTEREST}/liquid-universe"),
        "alert": backend.http.post(f"{ALERTS}/ingest", json=alert()),
        "alerts": backend.http.get(ALERTS),
    }

    assert {name for name, answer in statuses.items() if answer.status_code == 502} == hit
    assert {answer.status_code for answer in statuses.values()} <= {200, 502}


def test_slow_waits_and_then_answers(backend: Backend) -> None:
    backend.fault("slow", delay=0.3)
    started = time.monotonic()

    assert backend.ingest([row()]).status_code == 200

    assert time.monotonic() - started >= 0.3


def test_slow_does_its_work_though_the_client_has_left(backend: Backend) -> None:
    """Why a publisher has to look before it posts again after a time-out."""
    backend.fault("slow", delay=0.3)

    with pytest.raises(httpx.ReadTimeout):
        backend.ingest([row()], timeout=0.1)

    until(lambda: backend.read()["data"])
    batch = last_batch(backend)
    assert (batch["stored"], batch["status"]) == (1, "gone")
    assert backend.rows()[-1]["insertedAt"] - batch["receivedAt"] >= 299


@pytest.mark.parametrize(("kind", "stored"), [("hang", 0), ("processed-then-hang", 1)])
def test_a_hanging_backend_never_answers(backend: Backend, kind: str, stored: int) -> None:
    backend.fault(kind)

    with pytest.raises(httpx.ReadTimeout):
        backend.ingest([row()], timeout=0.2)

    assert (last_batch(backend)["status"], last_batch(backend)["stored"]) == ("hung", stored)
    assert len(backend.read()["data"]) == stored


def test_a_reset_in_mid_answer_has_done_the_work(backend: Backend) -> None:
    backend.fault("reset-answering", times=1)

    with pytest.raises(httpx.TransportError):
        backend.ingest([row()])

    assert (last_batch(backend)["status"], last_batch(backend)["stored"]) == ("reset", 1)
    assert len(backend.read()["data"]) == 1


def test_a_reset_in_mid_answer_of_the_read_route(backend: Backend) -> None:
    backend.ingest([row()])
    backend.fault("reset-answering", route="read", times=1)

    with pytest.raises(httpx.TransportError):
        backend.read()

    assert len(backend.read()["data"]) == 1


def test_lost_claims_success_and_keeps_nothing(backend: Backend) -> None:
    backend.fault("lost")

    assert backend.ingest([row("AUSDT"), row("BUSDT")]).json() == {"success": True, "inserted": 2, "cached": 2}
    assert backend.read()["data"] == {}
    batch = last_batch(backend)
    assert (batch["stored"], batch["cached"], batch["fault"]) == (0, None, "lost")


def test_lost_holds_for_universe_and_alerts_too(backend: Backend) -> None:
    backend.fault("lost", route="any")

    assert backend.universe("AUSDT")["upserted"] == 1
    assert backend.http.post(f"{ALERTS}/ingest", json=alert()).json()["success"] is True
    assert backend.http.get(f"{OPEN_INTEREST}/liquid-universe").json()["symbols"] == []
    backend.control(alertsSession=False)
    assert backend.http.get(ALERTS).json()["count"] == 0


def test_a_wrong_value_is_served_for_the_named_symbol(backend: Backend) -> None:
    backend.ingest([row("AUSDT", 1.0, 8.0), row("BUSDT", 1.0, 8.0)])
    backend.fault("wrong-value", symbols={"AUSDT": 1.25}, times=1)

    assert backend.read()["data"] == {"AUSDT": 10.0, "BUSDT": 8.0}
    assert backend.read()["data"] == {"AUSDT": 8.0, "BUSDT": 8.0}


@pytest.mark.parametrize(("mode", "left"), [("merge", {"AUSDT": 5.0, "BUSDT": 2.0}), ("replace", {"AUSDT": 5.0})])
def test_a_second_writer_follows_each_batch(backend: Backend, mode: str, left: dict[str, float]) -> None:
    backend.control(cacheMode=mode)
    backend.fault("second-writer", values={"AUSDT": 5.0})

    backend.ingest([row("AUSDT", 1.0, 2.0), row("BUSDT", 1.0, 2.0)])

    assert backend.read()["data"] == left


def test_a_redirect_points_elsewhere(backend: Backend) -> None:
    backend.fault("redirect", location="http://127.0.0.1:9/stolen")

    answer = backend.ingest([row()], follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/stolen")


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_over_the_limit_are_413(start_backend: Callable[..., Backend], chunked: bool) -> None:
    backend = start_backend(BODY_LIMIT="2kb")
    body = b"x" * 300_000
    content = iter([body[:1000], body[1000:]]) if chunked else body

    answer = backend.http.post(f"{OPEN_INTEREST}/ingest", content=content)

    assert (answer.status_code, answer.headers["content-type"]) == (413, "text/html")
    assert backend.ingest([row()]).status_code == 200
    backend.control(bodyLimit=100)
    assert backend.ingest([row()]).status_code == 413
    assert [batch["status"] for batch in backend.batches()] == [413, 200, 413]


def test_faults_add_up(backend: Backend) -> None:
    backend.control(faults=[{"kind": "slow", "delay": 0.2}, {"kind": "status", "status": 504}])
    started = time.monotonic()

    assert backend.ingest([row()]).status_code == 504

    assert time.monotonic() - started >= 0.2
    assert last_batch(backend)["fault"] == "slow+status"


def test_a_backend_that_is_away_refuses_and_comes_back_with_its_memory(start_backend: Callable[..., Backend]) -> None:
    backend = start_backend()
    backend.ingest([row()])
    backend.control(away=0.5)

    def refused() -> bool:
        try:
            backend.read()
        except httpx.TransportError as error:
            return isinstance(error, httpx.ConnectError)
        return False

    until(refused)
    until(lambda: not refused())
    assert len(backend.read()["data"]) == 1
