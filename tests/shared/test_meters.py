"""What is dropped is counted each time, and named once a minute for each reason."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import WireError
from shared.meters import Meters
from tests.fakes import FakeClock


def test_what_is_bad_is_counted_each_time_and_named_once_a_minute_and_reason(
    caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    registry = CollectorRegistry()
    meters = Meters(registry, clock)

    def counted(source: str, reason: str) -> float | None:
        return registry.get_sample_value("pipeline_bad_rows_total", {"source": source, "reason": reason})

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            meters.bad("stream-1", WireError("bad_mark", "A"))
            meters.bad("stream-2", WireError("bad_row", "B"), 10)
        clock.advance(60)
        meters.bad("stream-1", WireError("bad_mark", "C"))
        meters.bad_in_redis(WireError("stored_mark", "BTCUSDT: not plain decimals"))

    assert [list(record.facts.values()) for record in caplog.records] == [  # type: ignore[attr-defined]
        ["stream-1", "bad_mark: A"],
        ["stream-2", "bad_row: B"],
        ["stream-1", "bad_mark: C"],
        ["redis", "stored_mark: BTCUSDT: not plain decimals"],
    ]
    found = counted("stream-1", "bad_mark"), counted("stream-2", "bad_row"), counted("redis", "stored_mark")
    assert found == (4, 30, 1)
