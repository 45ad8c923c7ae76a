"""Both ways in which backends keep their cache, and what each of them gets wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.backend.stand_in import STAMP, STAMP_MS, Backend, row, rows

EARLIER = "2025-12-03T05:09:00Z"


def test_chunks_into_a_replacing_backend_leave_only_the_last(start_backend: Callable[..., Backend]) -> None:
    """The incident: every answer says success, and 43 of 343 symbols are served."""
    backend = start_backend(CACHE_MODE="replace")
    everything = rows(343)

    answers = [backend.ingest(everything[first : first + 100]).json() for first in range(0, 343, 100)]

    assert [answer["success"] for answer in answers] == [True] * 4
    assert sum(answer["inserted"] for answer in answers) == 343
    assert set(backend.read()["data"]) == {entry["symbol"] for entry in everything[300:]}
    assert len(backend.read()["data"]) == 43


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_one_post_serves_every_symbol(backend: Backend, mode: str) -> None:
    backend.control(cacheMode=mode)

    assert backend.ingest(rows(343)).json() == {"success": True, "inserted": 343, "cached": 343}

    assert backend.read()["data"] == {entry["symbol"]: entry["openInterestUsd"] for entry in rows(343)}


def test_a_merging_backend_never_forgets(backend: Backend) -> None:
    backend.ingest([row("AUSDT", 1.0, 2.0), row("BUSDT", 1.0, 3.0)])
    backend.ingest([row("AUSDT", 1.0, 5.0)])

    assert backend.read()["data"] == {"AUSDT": 5.0, "BUSDT": 3.0}


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_a_late_batch_overwrites_a_newer_one(backend: Backend, mode: str) -> None:
    backend.control(cacheMode=mode, asOf="batch")
    backend.ingest([row("AUSDT", 1.0, 2.0)], STAMP)
    backend.ingest([row("AUSDT", 1.0, 9.0)], EARLIER)

    served = backend.read()

    assert served["data"] == {"AUSDT": 9.0}
    assert served["asOf"] == STAMP_MS - 60_000


def test_a_batch_posted_twice_is_stored_twice(backend: Backend) -> None:
    """The backend knows no batch id: only its log tells that a batch came twice."""
    for _ in range(2):
        backend.ingest([row("AUSDT"), row("BUSDT")])

    assert [entry["timestamp"] for entry in backend.rows("AUSDT")] == [STAMP_MS, STAMP_MS]
    assert [batch["repeated"] for batch in backend.batches()] == [0, 2]
    assert backend.http.get("/control").json()["rows"] == {"kept": 4, "repeated": 2}


def test_the_same_symbol_at_another_time_is_no_repeat(backend: Backend) -> None:
    backend.ingest([row("AUSDT")], EARLIER)
    backend.ingest([row("AUSDT")], STAMP)

    assert [batch["repeated"] for batch in backend.batches()] == [0, 0]


def test_a_slow_database_inserts_row_after_row(backend: Backend) -> None:
    backend.control(rowDelayMs=5)
    started = time.monotonic()

    backend.ingest(rows(60))

    assert time.monotonic() - started >= 0.3
    instants = [entry["insertedAt"] for entry in backend.http.get("/control/rows").json()["rows"]]
    assert instants == sorted(instants)
    assert instants[-1] > instants[0]  # by how much, a busy machine decides


def test_an_older_backend_does_not_say_how_many_it_cached(backend: Backend) -> None:
    backend.control(reportCached=False)

    assert backend.ingest([row()]).json() == {"success": True, "inserted": 1}


def test_a_restart_loses_the_cache_and_keeps_the_rows(backend: Backend) -> None:
    backend.ingest([row()])

    backend.control(dropCache=True)

    assert backend.read() == {"data": {}, "stale": True, "asOf": None, "dangerouslyStale": True}
    assert len(backend.rows()) == 1


def test_another_writer_is_told_apart_only_in_the_log(backend: Backend) -> None:
    backend.ingest([row("AUSDT", 1.0, 2.0)])

    backend.control(write={"AUSDT": 77.0})

    assert backend.read()["data"] == {"AUSDT": 77.0}
    assert [batch["writer"] for batch in backend.batches()] == ["post", "second"]
