"""How the venues stand, as the service tells it."""

from __future__ import annotations

import logging

import pytest

from services.venue_poller.standing import Standing
from tests.fakes import FakeClock, service


def test_one_venue_that_is_read_is_the_job_done(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """What is waited for in the first minute is no warning; later the venue that is not read is named."""
    told = service(clock)
    standing = Standing(told, ["okx", "gate"])

    standing.told("okx", "away")
    assert told.health.report().state == "starting"
    standing.told("gate", "")
    assert (told.health.report().detail, told.facts["read"]) == ("1 of 2 venues read", "gate")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []

    clock.advance(61)
    standing.told("okx", "403 <html>")
    assert told.health.report().state == "ok"
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == ["okx is not read"]

    standing.told("gate", "away")
    assert (told.health.report().state, told.facts["read"]) == ("degraded", "")
    standing.told("okx", "")
    assert told.health.report().state == "ok"
