"""What is dropped is counted each time, and named once a minute for each reason."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import WireError
from shared.meters import Meters
from tests.fakes import FakeClock


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.facts for record in caplog.records]  # type: ignore[attr-defined]


def test_a_bad_row_is_named_and_counted(caplog: pytest.LogCaptureFixture, clock: FakeClock) -> None:
    registry = CollectorRegistry()
    meters = Meters(registry, clock)

    with caplog.at_level(logging.WARNING):
        meters.bad_in_redis(WireError("stored_mark", "BTCUSDT: not plain decimals"))

    labels = {"source": "redis", "reason": "stored_mark"}
    assert registry.get_sample_value("pipeline_bad_rows_total", labels) == 1
    assert facts(caplog) == [
        {"source": "redis", "why": "stored_mark: BTCUSDT: not plain decimals", "more_last_minute": 0}
    ]


def test_a_flood_is_one_line_a_minute_and_reason(caplog: pytest.LogCaptureFixture, clock: FakeClock) -> None:
    registry = CollectorRegistry()
    meters = Meters(registry, clock)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            meters.bad("stream-1", WireError("bad_mark", "A"))
            meters.bad("stream-2", WireError("bad_row", "B"), 10)
        clock.advance(60)
        meters.bad("stream-1", WireError("bad_mark", "C"))

    assert [(row["why"], row["more_last_minute"]) for row in facts(caplog)] == [
        ("bad_mark: A", 0),
        ("bad_row: B", 0),
        ("bad_mark: C", 2),
    ]
    assert registry.get_sample_value("pipeline_bad_rows_total", {"source": "stream-1", "reason": "bad_mark"}) == 4
    assert registry.get_sample_value("pipeline_bad_rows_total", {"source": "stream-2", "reason": "bad_row"}) == 30
