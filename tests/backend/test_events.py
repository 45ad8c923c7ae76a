"""What the page is told: a snapshot, then only what changed."""

from __future__ import annotations

from tests.backend.stand_in import ALERTS, STAMP_MS, Backend, alert, row
from tests.waiting import until


def test_a_snapshot_comes_first_and_then_the_changes(backend: Backend) -> None:
    backend.ingest([row("AUSDT", 1.0, 2.0, fundingRate=0.0001)])
    backend.universe("A-USDT", "BUSDT", volume=4.5e6)

    with backend.events() as events:
        name, snapshot = next(events)
        assert name == "snapshot"
        assert snapshot["rows"] == [["AUSDT", 2.0, 1.0, 2.0, 0.0001, STAMP_MS, None, None, None]]
        assert snapshot["universe"]["symbols"] == [["AUSDT", 4.5e6], ["BUSDT", 4.5e6]]
        assert snapshot["alerts"] == []

        backend.ingest([row("BUSDT", 3.0, 4.0)], "2025-12-03T05:10:01Z")
        name, batch = next(events)
        assert (name, batch["replaces"], batch["batchMs"]) == ("batch", False, STAMP_MS + 1000)
        assert batch["rows"] == [["BUSDT", 12.0, 3.0, 4.0, None, STAMP_MS + 1000, None, None, None]]

        backend.http.post(f"{ALERTS}/ingest", json=alert("BUSDT"))
        name, told = next(events)
        assert (name, told["symbol"], told["direction"]) == ("alert", "BUSDT", "UP")


def test_a_replacing_backend_says_that_the_rest_is_gone(backend: Backend) -> None:
    backend.control(cacheMode="replace")
    with backend.events() as events:
        next(events)
        backend.ingest([row()])
        assert next(events)[1]["replaces"] is True


def test_a_wrong_value_is_shown_as_it_is_served(backend: Backend) -> None:
    backend.fault("wrong-value", symbols={"AUSDT": 2.0})
    backend.ingest([row("AUSDT", 1.0, 2.0)])

    with backend.events() as events:
        assert next(events)[1]["rows"][0][1] == backend.read()["data"]["AUSDT"] == 4.0


def test_silence_is_filled_with_ticks(backend: Backend) -> None:
    """The page has to tell a quiet market from a dead line."""
    with backend.events() as events:
        next(events)
        name, tick = next(events)
    assert name == "tick"
    assert tick["hops"] == []
    assert tick["now"] > STAMP_MS


def test_readers_that_leave_are_forgotten(backend: Backend) -> None:
    readers = lambda: backend.http.get("/control").json()["readers"]  # noqa: E731
    with backend.events() as events:
        next(events)
        assert readers() == 1
    assert until(lambda: readers() == 0)
