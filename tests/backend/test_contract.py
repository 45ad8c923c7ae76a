"""The routes and bodies that the publisher is written against."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.backend.stand_in import ALERTS, OPEN_INTEREST, STAMP, STAMP_MS, Backend, alert, row, rows


def test_values_come_back_bit_for_bit(backend: Backend) -> None:
    """The audit compares to 1e-9: a stand-in that rounds would hide what it looks for."""
    values = {"BTCUSDT": 7661501742.1, "ETHUSDT": 0.1 + 0.2, "币安人生USDT": 12345678901.234567}

    answer = backend.ingest([row(symbol) | {"openInterestUsd": usd} for symbol, usd in values.items()])

    assert answer.status_code == 200
    assert answer.json() == {"success": True, "inserted": 3, "cached": 3}
    assert backend.read()["data"] == values


def test_as_of_is_the_time_of_arrival(backend: Backend) -> None:
    """In every revision: a late batch makes an old value look new."""
    backend.ingest([row()], STAMP)

    served = backend.read()

    batch = backend.batches()[-1]
    assert batch["receivedAt"] <= served["asOf"] <= batch["answeredAt"]
    assert (served["stale"], served["dangerouslyStale"]) == (False, False)


def test_as_of_can_be_the_timestamp_of_the_batch(backend: Backend) -> None:
    backend.control(asOf="batch")
    backend.ingest([row()], STAMP)

    served = backend.read()

    assert served["asOf"] == STAMP_MS
    assert (served["stale"], served["dangerouslyStale"]) == (True, True)


def test_an_empty_cache_is_said_to_be_empty(backend: Backend) -> None:
    assert backend.read() == {"data": {}, "stale": True, "asOf": None, "dangerouslyStale": True}


def test_symbols_lose_dashes_and_underscores(backend: Backend) -> None:
    """Two symbols that differ only there collide, and the later one wins."""
    answer = backend.ingest([row("btc-usdt", 1.0, 2.0), row("BTC_USDT", 3.0, 4.0)])

    assert answer.json() == {"success": True, "inserted": 2, "cached": 1}
    assert backend.read()["data"] == {"BTCUSDT": 12.0}


def test_zero_and_negative_values_pass(backend: Backend) -> None:
    """The backend stops nothing: the publisher has to."""
    backend.ingest([row("AUSDT", 0.0), row("BUSDT", 5.0, -1.5)])

    assert backend.read()["data"] == {"AUSDT": 0.0, "BUSDT": -7.5}


def test_rows_without_a_usable_number_are_left_out_silently(backend: Backend) -> None:
    good = row()
    bad = [row(""), {"symbol": "AUSDT"}, row("BUSDT") | {"openInterest": "12", "openInterestUsd": "3"}, [], 7]

    answer = backend.ingest([good, *bad])

    assert answer.json() == {"success": True, "inserted": 1, "cached": 1}
    assert backend.batches()[-1]["skipped"] == 5


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[]", "Invalid payload: data array required"),
        (b"7", "Invalid payload: data array required"),
        (b'{"data": {}}', "Invalid payload: data array required"),
        (b'{"data": []}', "No valid data items"),
    ],
)
def test_bad_payloads_are_400_with_the_reason(backend: Backend, body: bytes, error: str) -> None:
    answer = backend.http.post(f"{OPEN_INTEREST}/ingest", content=body)

    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert backend.read()["data"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"{broken",
        b'{"data": [{"symbol": "A", "openInterest": NaN}]}',
        b"null",
        b'{"data": [{"symbol": "A", "openInterest": 1}, null]}',
        b'{"data": [{"symbol": "A", "openInterest": 1}, {"symbol": 7, "openInterest": 1}]}',
    ],
)
def test_what_the_backend_does_not_foresee_is_a_500_for_the_whole_batch(backend: Backend, body: bytes) -> None:
    """A 400 would tell the publisher that nothing is in doubt; the backend says no such thing."""
    answer = backend.http.post(f"{OPEN_INTEREST}/ingest", content=body)

    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert backend.read()["data"] == {}


def test_a_timestamp_that_is_no_time_is_refused_by_the_database_alone(backend: Backend) -> None:
    answer = backend.ingest([row("AUSDT", 1.0, 2.0)], "yesterday")

    assert (answer.status_code, answer.json()["success"], answer.json()["inserted"]) == (200, False, 0)
    assert backend.read()["data"] == {"AUSDT": 2.0}


def test_an_update_without_symbols_empties_the_universe(backend: Backend) -> None:
    backend.universe("BTCUSDT", "ETHUSDT")

    answer = backend.http.post(f"{OPEN_INTEREST}/liquid-universe/update", json={})

    assert answer.json() == {"success": True, "upserted": 0, "removed": 2, "totalSymbols": 0}


def test_writing_needs_the_key_and_reading_does_not(start_backend: Callable[..., Backend]) -> None:
    backend = start_backend(API_KEY="open-sesame")
    writes = [f"{OPEN_INTEREST}/ingest", f"{OPEN_INTEREST}/liquid-universe/update", f"{ALERTS}/ingest"]
    reads = [OPEN_INTEREST, f"{OPEN_INTEREST}/liquid-universe", ALERTS]

    for path in writes:
        for headers in ({}, {"X-API-Key": "wrong"}):
            refused = backend.http.post(path, json={}, headers=headers)
            assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
    assert [backend.http.get(path).status_code for path in reads] == [200, 200, 401]  # the last wants a session
    assert backend.ingest([row()], headers={"X-API-Key": "open-sesame"}).status_code == 200
    assert [batch["status"] for batch in backend.batches()] == [401, 401, 200]
    assert "open-sesame" not in backend.http.get("/control").text


def test_the_universe_is_replaced_by_each_update(backend: Backend) -> None:
    assert backend.universe("BTCUSDT", "ETHUSDT") == {"success": True, "upserted": 2, "removed": 0, "totalSymbols": 2}

    assert backend.universe("BTCUSDT", "SOLUSDT", volume=7e6)["removed"] == 1

    served = backend.http.get(f"{OPEN_INTEREST}/liquid-universe").json()
    assert {key: served[key] for key in ("updatedAt", "enterThreshold", "exitThreshold", "totalSymbols")} == {
        "updatedAt": "2025-12-03T05:10:00.000Z",  # when one of its symbols was last seen
        "enterThreshold": 4_000_000,
        "exitThreshold": 2_000_000,
        "totalSymbols": 2,
    }
    assert served["symbols"][0] == {
        "symbol": "BTCUSDT",
        "quoteVolume24h": 7e6,
        "enteredAt": STAMP,
        "lastSeenAt": STAMP,
        "estimatedPollIntervalSec": 5,
    }
    assert [entry["symbol"] for entry in served["symbols"]] == ["BTCUSDT", "SOLUSDT"]


def test_alerts_are_kept_newest_first(backend: Backend) -> None:
    backend.control(alertsSession=False)
    ids = [
        backend.http.post(f"{ALERTS}/ingest", json=alert(symbol, direction)).json()["id"]
        for symbol, direction in (("BTCUSDT", "UP"), ("eth-usdt", "DOWN"), ("BTCUSDT", "DOWN"))
    ]

    served = backend.http.get(ALERTS).json()

    assert served["count"] == 3
    assert [entry["id"] for entry in served["alerts"]] == ids[::-1]
    assert served["alerts"][1] == {  # a row of the database: the time is `ts`, decimals are text
        "id": ids[1],
        "symbol": "ETHUSDT",
        "direction": "DOWN",
        "baseline": "100000",
        "current": "103400",
        "pctChange": "0.034",
        "absChange": "3400",
        "timeframe": "5 min",
        "priceChange": None,
        "fundingRate": None,
        "source": "oi_realtime_poller",
        "ts": "2025-12-03T05:10:00.000Z",
        "createdAt": "2025-12-03T05:10:00.000Z",
    }
    backend.control(alertsSchema="old")
    old = backend.http.get(ALERTS).json()["alerts"][0]
    assert not {"timeframe", "priceChange", "fundingRate"} & old.keys()
    down_btc = backend.http.get(ALERTS, params={"symbol": "BTCUSDT", "direction": "DOWN"}).json()
    assert [entry["id"] for entry in down_btc["alerts"]] == [ids[2]]
    assert backend.http.get(ALERTS, params={"limit": "1"}).json()["count"] == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"symbol": None}, 400),
        ({"baseline": "1"}, 400),
        ({"direction": ""}, 400),
        ({"direction": "SIDEWAYS"}, 500),  # the database refuses it, and nobody looked before
    ],
)
def test_bad_alerts_are_refused(backend: Backend, wrong: dict[str, object], status: int) -> None:
    answer = backend.http.post(f"{ALERTS}/ingest", json=alert() | wrong)

    assert answer.status_code == status
    backend.control(alertsSession=False)
    assert backend.http.get(ALERTS).json() == {"alerts": [], "count": 0}


def test_alerts_are_shown_to_a_users_session_alone(backend: Backend) -> None:
    for headers in ({}, {"X-API-Key": "any"}):
        refused = backend.http.get(ALERTS, headers=headers)
        assert (refused.status_code, refused.json()) == (401, {"error": "Missing or invalid authorization header"})


def test_a_database_that_refuses_is_200_and_fills_the_cache(backend: Backend) -> None:
    backend.control(databaseDown=True)

    answer = backend.ingest(rows(3))

    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert (answer.json()["inserted"], answer.json()["cached"], len(answer.json()["errors"])) == (0, 3, 3)
    assert len(backend.read()["data"]) == 3
    assert backend.rows("S000USDT") == []


def test_a_universe_update_takes_two_queries_a_symbol_and_shows_on_the_way(backend: Backend) -> None:
    backend.control(rowDelayMs=10)
    started = time.monotonic()

    backend.universe(*(f"S{n}USDT" for n in range(10)))

    assert time.monotonic() - started >= 0.2


def test_another_program_may_write_the_universe(backend: Backend) -> None:
    backend.universe("BTCUSDT", "ETHUSDT")

    backend.control(writeUniverse=["XYZUSDT"])

    served = backend.http.get(f"{OPEN_INTEREST}/liquid-universe").json()
    assert [entry["symbol"] for entry in served["symbols"]] == ["XYZUSDT"]


def test_values_may_be_served_as_text(backend: Backend) -> None:
    backend.control(valuesAs="text")
    backend.ingest([row("AUSDT", 1.0, 2.5)])

    assert backend.read()["data"] == {"AUSDT": "2.5"}


def test_a_bot_wall_answers_a_page_and_says_who_it_is(backend: Backend) -> None:
    backend.fault("status", status=403, html=True, mitigated="challenge", route="read")

    walled = backend.http.get(OPEN_INTEREST)

    assert (walled.status_code, walled.headers["cf-mitigated"]) == (403, "challenge")
    assert walled.text.startswith("<html>")


@pytest.mark.parametrize("obeys", [False, True])
def test_an_edge_cache_gives_what_it_holds(backend: Backend, obeys: bool) -> None:
    backend.control(edgeTtlSec=60, edgeObeys=obeys)
    backend.ingest([row("AUSDT", 1.0, 2.0)])
    first = backend.http.get(OPEN_INTEREST)
    backend.ingest([row("AUSDT", 1.0, 9.0)])

    held = backend.http.get(OPEN_INTEREST)
    asked = backend.http.get(OPEN_INTEREST, headers={"Cache-Control": "no-cache"})

    assert (first.headers["X-Cache"], held.headers["X-Cache"], held.headers["Age"]) == ("MISS", "HIT", "0")
    assert held.json() == first.json()
    assert asked.json()["data"]["AUSDT"] == (9.0 if obeys else 2.0)


def test_an_edge_cache_may_not_say_that_it_is_one(backend: Backend) -> None:
    """It keeps each address for itself, as most of them do."""
    backend.control(edgeTtlSec=60, edgeTells=False)
    backend.ingest([row("AUSDT", 1.0, 2.0)])
    backend.read()
    backend.ingest([row("AUSDT", 1.0, 9.0)])

    held, past = backend.http.get(OPEN_INTEREST), backend.http.get(OPEN_INTEREST, params={"at": "1"})

    assert {"age", "x-cache"}.isdisjoint(held.headers)
    assert [answer.json()["data"]["AUSDT"] for answer in (held, past)] == [2.0, 9.0]


def test_unknown_addresses_are_404(backend: Backend) -> None:
    for path in ("/api/nothing", "/../server.mjs", "/server.mjs", "/page/index.html", "/%2e%2e/server.mjs"):
        assert backend.http.get(path).status_code == 404
