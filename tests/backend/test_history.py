"""Three hours of each symbol, out of the batches alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from tests.backend.stand_in import Backend, row

MINUTE_MS = 60_000


def stamp(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def points(backend: Backend, symbol: str = "BTCUSDT") -> list[Any]:
    found: list[Any] = backend.http.get("/history", params={"symbol": symbol}).raise_for_status().json()["points"]
    return found


def newest_row(backend: Backend) -> list[Any]:
    with backend.events() as events:
        found: list[Any] = next(events)[1]["rows"][0]
        return found


def test_changes_compare_with_what_came_in_then(backend: Backend) -> None:
    now = now_ms()
    for minutes, contracts in ((60, 80.0), (15, 100.0), (5, 125.0), (0, 100.0)):
        backend.ingest([row("BTCUSDT", contracts, 2.0)], stamp(now - minutes * MINUTE_MS))

    assert newest_row(backend)[6:] == [-0.2, 0.0, 0.25]
    assert [point[1:] for point in points(backend)] == [[80.0, 2.0], [100.0, 2.0], [125.0, 2.0], [100.0, 2.0]]


def test_a_change_without_a_reading_to_compare_with_is_not_known(backend: Backend) -> None:
    now = now_ms()
    for minutes in (20, 8, 0):
        backend.ingest([row("BTCUSDT", 100.0 + minutes, 2.0)], stamp(now - minutes * MINUTE_MS))

    assert newest_row(backend)[6:] == [None, None, None]


def test_a_late_batch_finds_its_place_and_an_impossible_one_none(backend: Backend) -> None:
    now = now_ms()
    for minutes in (0, 5, 181, -10):
        backend.ingest([row("BTCUSDT", 100.0 + minutes, 2.0)], stamp(now - minutes * MINUTE_MS))

    assert [point[1] for point in points(backend)] == [105.0, 100.0]


def test_a_restart_forgets_and_a_stranger_is_unknown(backend: Backend) -> None:
    backend.ingest([row("BTCUSDT")], stamp(now_ms()))
    assert len(points(backend)) == 1
    assert points(backend, "NOSUCH") == []

    backend.control(dropCache=True)

    assert points(backend) == []
