"""The control route itself: complete, all or nothing, and no way in for other sites."""

from __future__ import annotations

import pytest

from tests.backend.stand_in import STAMP, Backend, row


def test_every_batch_is_in_the_log_in_order(backend: Backend) -> None:
    for minute in range(3):
        backend.ingest([row("AUSDT", minute + 1.0, 2.0)], f"2025-12-03T05:1{minute}:00Z")

    assert [batch["timestamp"] for batch in backend.batches()] == [f"2025-12-03T05:1{n}:00Z" for n in range(3)]
    assert [entry["openInterest"] for entry in backend.rows("AUSDT")] == [1.0, 2.0, 3.0]
    first = backend.batches()[0]
    assert first | {"receivedAt": 0, "answeredAt": 0, "bytes": 0} == {
        "id": 1,
        "writer": "post",
        "from": "127.0.0.1",
        "rows": 1,
        "stored": 1,
        "totalSymbols": 1,
        "cached": 1,
        "status": 200,
        "fault": None,
        "receivedAt": 0,
        "answeredAt": 0,
        "bytes": 0,
        "timestamp": STAMP,
        "skipped": 0,
        "repeated": 0,
    }
    assert first["receivedAt"] <= first["answeredAt"]


def test_batches_can_be_read_on_from_a_number(backend: Backend) -> None:
    for _ in range(3):
        backend.ingest([row()])

    answer = backend.http.get("/control/batches", params={"since": 2}).json()

    assert ([batch["id"] for batch in answer["batches"]], answer["last"]) == ([3], 3)


@pytest.mark.parametrize(
    "change",
    [
        {"cacheMode": "merge", "nonsense": 1},
        {"cacheMode": "append"},
        {"bodyLimit": "lots"},
        {"rowDelayMs": -1},
        {"away": 0},
        {"dropCache": False},
        {"write": {"A": "1"}},
        {"faults": {}},
        {"fault": {"kind": "explode"}},
        {"fault": {"kind": "toString"}},
        {"fault": {"kind": "slow", "dealy": 3}},
        {"fault": {"kind": "status", "status": 200}},
        {"fault": {"kind": "wrong-value"}},
        {"fault": {"kind": "lost", "times": 0}},
    ],
)
def test_a_bad_change_changes_nothing(backend: Backend, change: dict[str, object]) -> None:
    """A fault misspelt in a test must fail that test, not pass it against a healthy backend."""
    backend.ingest([row()])
    before = backend.http.get("/control").json()

    answer = backend.http.post("/control", json={"asOf": "batch"} | change)

    assert answer.status_code == 400
    assert answer.json()["error"]
    after = backend.http.get("/control").json()
    assert {**before, "readers": 0} == {**after, "readers": 0}


def test_reset_forgets_everything(backend: Backend) -> None:
    backend.ingest([row()], STAMP)
    backend.universe("BTCUSDT")
    backend.control(cacheMode="replace", bodyLimit="1kb", faults=[{"kind": "lost"}])

    state = backend.http.post("/control/reset").json()

    assert state["settings"] == {
        "cacheMode": "merge",
        "asOf": "arrival",
        "bodyLimit": 10 * 1024 * 1024,
        "rowDelayMs": 0,
        "reportCached": True,
        "databaseDown": False,
        "alertsSession": True,
        "alertsSchema": "new",
        "valuesAs": "number",
        "edgeTtlSec": 0,
        "edgeObeys": False,
        "edgeTells": True,
    }
    assert (state["faults"], state["batches"], state["requests"]) == ([], [], {})
    assert (state["cache"]["symbols"], state["universe"]["symbols"], state["rows"]["kept"]) == (0, 0, 0)


def test_another_site_in_the_same_browser_cannot_set_faults(backend: Backend) -> None:
    answer = backend.http.post("/control", json={"dropCache": True}, headers={"Origin": "https://example.com"})

    assert answer.status_code == 403
