"""Statuses and bodies, field by field, with values."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.funding_api.answers import MOST_SYMBOLS, Answer, refuse_batch
from tests.builders import NOW_MS, mark, reading
from tests.funding_api.stored import DAEMON, answers, hashes

NOW_S = NOW_MS / 1000
NEXT_MS = NOW_MS + 3_600_000


def shown(answer: Answer) -> tuple[int, Any]:
    """As a client sees it."""
    return answer.status, json.loads(msgspec.json.encode(answer.body))


def aged(seconds: float, symbol: str = "BTCUSDT") -> Any:
    stamp_ms = NOW_MS - round(seconds * 1000)
    return mark(symbol, event_ms=stamp_ms, received_ms=stamp_ms)


def test_a_symbol_is_answered_in_numbers() -> None:
    """Existing scripts compute with what they get; text would break them far from here."""
    status, body = shown(answers(hashes([aged(0.25)])).funding("BTCUSDT"))

    assert status == 200
    assert body == {
        "symbol": "BTCUSDT",
        "markPrice": 93041.35202399,
        "fundingRate": 0.0001,
        "nextFundingTime": NEXT_MS,
        "indexPrice": 93010.0,
        "updatedAt": NOW_S - 0.25,
        "ageSeconds": 0.25,
    }
    assert not [name for name, value in body.items() if isinstance(value, str) and name != "symbol"]


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({"funding_rate": None}, {"fundingRate": None, "nextFundingTime": NEXT_MS}),
        ({"funding_rate": Decimal("0.00000000"), "next_funding_ms": 0}, {"fundingRate": None, "nextFundingTime": 0}),
        ({"funding_rate": None, "next_funding_ms": 0}, {"fundingRate": None, "nextFundingTime": 0}),
        ({"funding_rate": Decimal("0.00000000")}, {"fundingRate": 0, "nextFundingTime": NEXT_MS}),
        ({"index_price": None}, {"indexPrice": None}),
    ],
    ids=["no rate", "delivery", "both", "a rate of zero is a rate", "no index"],
)
def test_what_is_not_known_or_not_paid_is_null(changes: dict[str, Any], shows: dict[str, Any]) -> None:
    """A quarterly sends 0 and no next time; shown as 0 it would look like a perpetual at balance."""
    status, body = shown(answers(hashes([mark(**changes)])).funding("BTCUSDT"))

    assert (status, {name: body[name] for name in shows}) == (200, shows)


def test_an_unknown_symbol_is_404() -> None:
    assert shown(answers(hashes([mark()])).funding("nope")) == (
        404,
        {"detail": {"error": "Symbol not found", "symbol": "NOPE"}},
    )


def test_stale_data_is_503_and_says_how_old_it_is() -> None:
    status, body = shown(answers(hashes([aged(180.001)])).funding("BTCUSDT"))

    assert status == 503
    assert body == {"detail": {"error": "Data stale", "symbol": "BTCUSDT", "ageSeconds": 180.001, "maxAgeSeconds": 180}}
    assert isinstance(body["detail"]["maxAgeSeconds"], int)


@pytest.mark.parametrize(("age_s", "status", "shown_s"), [(180, 200, 180), (-9, 200, 0), (-11, 503, -11)])
def test_the_limit_itself_is_good_and_a_stamp_from_the_future_new_within_the_skew(
    age_s: float, status: int, shown_s: float
) -> None:
    """A clock that runs ahead must not keep a price fresh for ever."""
    told, body = shown(answers(hashes([aged(age_s)])).funding("BTCUSDT"))

    assert (told, body.get("detail", body)["ageSeconds"]) == (status, shown_s)


def test_a_batch_keeps_order_and_names_what_is_missing_or_stale() -> None:
    stored = hashes([aged(1), aged(200, "ETHUSDT")])

    status, body = shown(answers(stored).funding_batch(["ETHUSDT", "NOPE", "BTCUSDT", "BTCUSDT"]))

    assert status == 200
    assert body["data"][0] == {
        "symbol": "ETHUSDT",
        "error": "Data stale",
        "ageSeconds": 200.0,
        "maxAgeSeconds": 180,
    }
    assert body["data"][1] == {"symbol": "NOPE", "error": "Symbol not found"}
    assert body["data"][2] == body["data"][3] == shown(answers(stored).funding("BTCUSDT"))[1]
    assert {name: body[name] for name in ("found", "missing", "total")} == {"found": 2, "missing": 2, "total": 4}


def test_a_batch_of_nothing_is_400() -> None:
    refusal = refuse_batch([])
    assert refusal is not None
    assert shown(refusal) == (400, {"detail": {"error": "No symbols provided"}})


def test_a_batch_has_a_limit_and_says_it() -> None:
    assert refuse_batch(["BTCUSDT"] * MOST_SYMBOLS) is None
    refusal = refuse_batch(["BTCUSDT"] * (MOST_SYMBOLS + 1))
    assert refusal is not None
    assert shown(refusal) == (400, {"detail": {"error": "Too many symbols", "count": 2001, "maxSymbols": 2000}})


def test_all_has_one_object_a_symbol() -> None:
    status, body = shown(answers(hashes([aged(1), aged(1, "龙虾USDT"), aged(999, "ETHUSDT")])).funding_all())

    assert status == 200
    assert [row["symbol"] for row in body["data"]] == ["BTCUSDT", "ETHUSDT", "龙虾USDT"]
    assert (body["found"], body["missing"], body["total"]) == (2, 1, 3)


def test_open_interest_is_contracts_times_the_live_mark_with_the_audits_verdict() -> None:
    stored = hashes(
        [mark(price="100.5", received_ms=NOW_MS - 400)],
        [reading(contracts="82345.123", received_ms=NOW_MS - 3000, price="99")],
        {"BTCUSDT": (8275684.86, NOW_MS - 2000, "verified")},
    )

    assert shown(answers(stored).open_interest("btcusdt")) == (
        200,
        {
            "symbol": "BTCUSDT",
            "openInterest": 82345.123,
            "openInterestUsd": 8275684.8615,
            "markPrice": 100.5,
            "updatedAt": NOW_S - 3,
            "ageSeconds": 3.0,
            "markAgeSeconds": 0.4,
            "servedUsd": 8275684.86,
            "servedSince": NOW_S - 2,
            "verdict": "verified",
        },
    )


def test_what_is_served_is_looked_up_in_the_backends_spelling() -> None:
    stored = hashes(
        [mark("BTCUSDT_261225")],
        [reading("BTCUSDT_261225")],
        {"BTCUSDT261225": (1.0, NOW_MS, "ghost"), "BTCUSDT": (2.0, NOW_MS, "verified")},
    )
    assert shown(answers(stored).open_interest("BTCUSDT_261225"))[1]["verdict"] == "ghost"


@pytest.mark.parametrize(
    ("rows", "publisher"),
    [
        ({}, {b"state": b"ok"}),
        ({"BTCUSDT": (1.0, NOW_MS, "verified")}, {}),
        ({"BTCUSDT": (1.0, NOW_MS, "verified")}, {b"state": b"ok", b"verdict": b"UNAUDITED"}),
    ],
    ids=["not audited yet", "publisher dead", "audit turned off"],
)
def test_without_an_audit_the_verdict_is_unknown(rows: dict[str, Any], publisher: dict[bytes, bytes]) -> None:
    """What was verified before the publisher died, or before its audit was turned off, stays in Redis."""
    stored = [*hashes([mark()], [reading()], rows)[:-1], publisher]
    _, body = shown(answers(stored).open_interest("BTCUSDT"))
    assert (body["verdict"], body["servedUsd"], body["servedSince"]) == ("unknown", None, None)


def test_what_the_backend_does_not_serve_has_no_served_value() -> None:
    rows = {"BTCUSDT": (None, NOW_MS, "missing")}
    _, body = shown(answers(hashes([mark()], [reading()], rows)).open_interest("BTCUSDT"))
    assert (body["verdict"], body["servedUsd"]) == ("missing", None)


@pytest.mark.parametrize(
    ("marks", "readings", "status", "detail"),
    [
        ([mark()], [], 404, {"error": "Symbol not found"}),
        ([], [reading()], 503, {"error": "No mark price"}),
        ([mark()], [reading(contracts="0.000")], 503, {"error": "Open interest is zero"}),
        (
            [mark()],
            [reading(received_ms=NOW_MS - 181_000)],
            503,
            {"error": "Data stale", "ageSeconds": 181.0, "maxAgeSeconds": 180},
        ),
        ([aged(190)], [reading()], 503, {"error": "Data stale", "ageSeconds": 190.0, "maxAgeSeconds": 180}),
        ([aged(-60)], [reading()], 503, {"error": "Data stale", "ageSeconds": -60.0, "maxAgeSeconds": 180}),
    ],
    ids=["not polled", "no mark", "zero", "stale", "stale mark", "mark from the future"],
)
def test_open_interest_that_cannot_be_relied_on_is_not_given(
    marks: list[Any], readings: list[Any], status: int, detail: dict[str, Any]
) -> None:
    """No stale price, no stand-in, no zero: a product with a bad factor is a bad product."""
    asked = answers(hashes(marks, readings))
    assert shown(asked.open_interest("BTCUSDT")) == (status, {"detail": {"symbol": "BTCUSDT", **detail}})
    if readings:
        assert shown(asked.open_interest_all()) == (
            200,
            {"data": [{"symbol": "BTCUSDT", **detail}], "found": 0, "missing": 1, "total": 1},
        )


def test_health_tells_what_feeds_the_data_and_how_old_it_is() -> None:
    assert shown(answers(hashes([aged(0.5), aged(42, "OLDUSDT")])).health()) == (
        200,
        {
            "status": "healthy",
            "websocketConnected": True,
            "symbolCount": 2,
            "uptimeSeconds": 60.0,
            "lastConnectedTime": NOW_S - 30,
            "messagesReceived": 240,
            "reconnectAttempts": 3,
            "oldestDataAgeSeconds": 42.0,
            "newestDataAgeSeconds": 0.5,
        },
    )


@pytest.mark.parametrize(
    ("age_s", "connections", "healthy", "said"),
    [
        (14, "0", True, ""),  # marks come from premiumIndex: the answers are good
        (16, "0", False, "no stream is connected and the newest mark is 16.0 s old"),
        (16, "1", True, ""),
        (181, "1", False, "the newest mark is 181.0 s old; the limit is 180 s"),
    ],
)
def test_health_is_about_the_data(age_s: float, connections: str, healthy: bool, said: str) -> None:
    asked = answers(hashes([aged(age_s)], daemon={**DAEMON, "connections": connections}))
    status, body = shown(asked.health())

    assert (status, body["status"]) == ((200, "healthy") if healthy else (503, "unhealthy"))
    assert body.get("error", "") == said == (asked.trouble() or "")
    assert body["websocketConnected"] is (connections != "0")
    assert body.get("disconnectedForSeconds") == (30.0 if connections == "0" else None)


@pytest.mark.parametrize("broken", [{}, {"connections": "two", "started": "soon", "messagesReceived": "-1"}])
def test_a_heartbeat_that_is_gone_or_odd_leaves_unknown_what_it_told(broken: dict[str, str]) -> None:
    status, body = shown(answers(hashes([aged(1)], daemon=broken)).health())

    assert (status, body["websocketConnected"]) == (200, False)
    unknown = ("uptimeSeconds", "lastConnectedTime", "messagesReceived", "reconnectAttempts")
    assert [body[name] for name in unknown] == [None] * 4


def test_health_of_an_empty_redis_is_unhealthy() -> None:
    status, body = shown(answers(hashes(daemon={})).health())

    assert (status, body["status"], body["symbolCount"]) == (503, "unhealthy", 0)
    assert body["newestDataAgeSeconds"] is None
    assert "ws_daemon" in body["error"]


def test_the_state_holds_what_is_fresh_and_nothing_else() -> None:
    asked = answers(hashes([aged(2), aged(200, "ETHUSDT")]))
    assert json.loads(msgspec.json.encode(asked.state())) == {
        "funding_state": {
            "BTCUSDT": {
                "markPrice": 93041.35202399,
                "fundingRate": 0.0001,
                "nextFundingTime": NEXT_MS,
                "indexPrice": 93010.0,
                "updatedAt": NOW_S - 2,
            }
        },
        "connection_status": {
            "connected": True,
            "last_connected_time": NOW_S - 30,
            "reconnect_attempts": 3,
            "messages_received": 240,
            "last_message_time": NOW_S - 2,
        },
        "updated_at": NOW_S,
    }


def test_the_state_of_an_empty_redis_has_the_same_shape() -> None:
    assert json.loads(msgspec.json.encode(answers(hashes(daemon={})).state())) == {
        "funding_state": {},
        "connection_status": {
            "connected": False,
            "last_connected_time": None,
            "reconnect_attempts": 0,
            "messages_received": 0,
            "last_message_time": None,
        },
        "updated_at": NOW_S,
    }
