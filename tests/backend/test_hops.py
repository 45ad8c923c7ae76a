"""What the backend stand-in learns of the services: their own words, and the time when they fell silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.backend.healthz import NAMES, Services, report
from tests.backend.stand_in import Backend

STAMP_MS = 1_764_763_384_000


def hops_until(backend: Backend, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, dict[str, Any]]:
    """The hops as the page is told of them, once they are as wanted."""
    deadline = time.monotonic() + 45
    with backend.events() as events:
        for name, event in events:
            if name in {"snapshot", "tick"}:
                hops = {hop.pop("name"): hop for hop in event["hops"]}
                if wanted(hops):
                    return hops
            assert time.monotonic() < deadline, event
    raise AssertionError("the stream ended")


def test_each_service_is_told_in_its_own_words(services: Services, start_backend: Callable[..., Backend]) -> None:
    services.bodies["publisher"] = report("degraded", "PARTIAL: 43 of 343 served as sent")
    backend = start_backend(PIPELINE_HEALTH=services.setting)

    hops = hops_until(backend, lambda hops: all(hop["state"] != "unasked" for hop in hops.values()))

    assert list(hops) == list(NAMES)
    assert hops["ws_daemon"] == {"state": "ok", "since": STAMP_MS, "lastSuccess": STAMP_MS, "detail": "all well"}
    assert (hops["publisher"]["state"], hops["publisher"]["detail"]) == (
        "degraded",
        "PARTIAL: 43 of 343 served as sent",
    )


def test_a_service_that_falls_silent_is_dated(services: Services, start_backend: Callable[..., Backend]) -> None:
    backend = start_backend(PIPELINE_HEALTH=services.setting)
    hops_until(backend, lambda hops: hops["oi_poller"]["state"] == "ok")
    before_ms = time.time() * 1000

    services.bodies["oi_poller"] = None

    silent = hops_until(backend, lambda hops: hops["oi_poller"]["state"] == "silent")
    assert before_ms - 2000 <= silent["oi_poller"]["since"] <= time.time() * 1000
    assert silent["oi_poller"]["lastSuccess"] == STAMP_MS, "what was known of it stays known"
    assert silent["ws_daemon"]["state"] == "ok"
    services.bodies["oi_poller"] = report()
    assert hops_until(backend, lambda hops: hops["oi_poller"]["state"] == "ok")["oi_poller"]["since"] == STAMP_MS


def test_nobody_there_is_said(start_backend: Callable[..., Backend]) -> None:
    backend = start_backend(PIPELINE_HEALTH="publisher=http://127.0.0.1:1/healthz")

    hops = hops_until(backend, lambda hops: hops["publisher"]["state"] != "unasked")

    assert hops["publisher"]["state"] == "silent"
    assert hops["publisher"]["lastSuccess"] is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b'{"status": "ok"}', b'{"state": 7}', b"x" * 100_000])
def test_what_is_no_report_is_not_believed(
    services: Services, start_backend: Callable[..., Backend], body: bytes
) -> None:
    services.bodies["publisher"] = body
    backend = start_backend(PIPELINE_HEALTH=services.setting)

    hops = hops_until(backend, lambda hops: hops["publisher"]["state"] != "unasked")

    assert hops["publisher"]["state"] == "unread"


def test_without_addresses_no_hop_is_claimed(backend: Backend) -> None:
    with backend.events() as events:
        assert next(events)[1]["hops"] == []
