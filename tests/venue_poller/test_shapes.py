"""The stand-in against what is known of the venues: the rows recorded of them, what they refuse, and how often."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dev.venues.answers import BANNED_MS, LIMITS, Asked, Venues
from dev.venues.faults import FAULTS
from dev.venues.market import LISTS, Market
from services.venue_poller.venues import VENUES
from tests.builders import NOW_MS
from tests.venue_poller.told import PAYLOADS, recorded

OF_STREAMS = {"instId", "symbolType", "nextFundingTime", "deliveryPrice"}  # of Bitget's, not in its REST rows
JSON = "application/json"


def stand_in(coins: int = 12) -> Venues:
    return Venues(Market(7, NOW_MS, coins))


def asked(venue: str) -> list[Asked]:
    """What venue_poller asks."""
    return [
        Asked(one.path, dict(one.params), "POST" if one.body else "GET", one.body or b"", JSON if one.body else "")
        for one in VENUES[venue].requests
    ]


def rows(venue: str, body: Any) -> list[Any]:
    lists = {
        "bybit": lambda: body["result"]["list"],
        "okx": lambda: body["data"],
        "gate": lambda: body,
        "hyperliquid": lambda: body[1],
        "bitget": lambda: body["data"],
    }
    found: list[Any] = lists[venue]()
    return found


THEIRS = {
    "bybit": [recorded("bybit_ws_ticker_btcusdt_2026-08-13")["data"]],
    "okx": [recorded("okx_open_interest_rest_recorded")[0]["data"][0]],
    "gate": [recorded("gate_contracts_full_rows_2026-09-25")[0]],
    "hyperliquid": [recorded("hyperliquid_ctxs_main_2026-05-30")[n] for n in (0, 3)],  # the second is delisted
    "bitget": [
        recorded("bitget_ws_ticker_birbusdt_2026-07-03")["data"][0],
        recorded("bitget_v2_tickers_docs")["data"][0],
    ],
}


@pytest.mark.parametrize("venue", LISTS)
def test_a_row_has_every_field_that_was_recorded(venue: str) -> None:
    told = stand_in()
    listed = [row for one in asked(venue) for row in rows(venue, json.loads(told.answer(venue, one, NOW_MS).body))]

    for theirs in THEIRS[venue]:
        fields = {name: type(value) for name, value in theirs.items() if venue != "bitget" or name not in OF_STREAMS}
        assert any(fields.items() <= {name: type(value) for name, value in row.items()}.items() for row in listed)
        assert all(fields.keys() <= row.keys() for row in listed)


BYBIT, OKX, HYPERLIQUID, BITGET = (VENUES[name].requests[0].path for name in ("bybit", "okx", "hyperliquid", "bitget"))


@pytest.mark.parametrize(
    ("venue", "other", "status"),
    [
        ("bybit", Asked(BYBIT), 200),  # an error, told inside
        ("bybit", Asked(BYBIT, {"category": "linear"}, "POST"), 404),
        ("okx", Asked(OKX, {"instType": "FUTURES"}), 400),
        ("gate", Asked("/api/v4/futures/usdt/tickers"), 404),
        ("hyperliquid", Asked(HYPERLIQUID), 404),
        ("hyperliquid", Asked(HYPERLIQUID, {}, "POST", b'{"type":"meta"}', JSON), 422),
        ("hyperliquid", Asked(HYPERLIQUID, {}, "POST", b'{"type":"metaAndAssetCtxs"}'), 422),
        ("bitget", Asked(BITGET, {"productType": "umcbl"}), 400),
    ],
)
def test_who_asks_otherwise_gets_no_rows(venue: str, other: Asked, status: int) -> None:
    answer = stand_in().answer(venue, other, NOW_MS)

    assert answer.status == status
    assert b"BTC" not in answer.body


@pytest.mark.parametrize("venue", LISTS)
def test_who_asks_more_often_than_a_venue_lets_gets_no_rows(venue: str) -> None:
    told, limit = stand_in(1), LIMITS[venue]
    wait_ms = BANNED_MS if venue == "bybit" else limit.per_s * 1000

    for _ in range(limit.most // limit.cost):
        assert b"BTC" in told.answer(venue, asked(venue)[0], NOW_MS).body
    for later_ms in (0, wait_ms - 1):
        assert b"BTC" not in told.answer(venue, asked(venue)[0], NOW_MS + later_ms).body

    assert b"BTC" in told.answer(venue, asked(venue)[0], NOW_MS + wait_ms + limit.per_s * 1000).body


def test_among_the_rows_stand_those_that_a_venue_really_has() -> None:
    """Another asset by a coin's name, a coin that is at home there, one in five delisted, stamps of their own."""
    told = stand_in(10_000)
    contracts = [c for listed in told.market.contracts.values() for c in listed]
    bodies = {venue: json.loads(told.answer(venue, asked(venue)[0], NOW_MS).body) for venue in LISTS}
    universe, contexts = bodies["hyperliquid"]

    assert {c.venue for c in contracts if c.other} >= {"okx", "hyperliquid"}
    assert {c.venue for c in contracts if c.share > 1} >= {"bybit", "okx", "gate"}
    assert 0.15 < sum(one.get("isDelisted", False) for one in universe["universe"]) / len(contexts) < 0.25
    for venue in ("okx", "bitget"):
        assert len({row["ts"] for row in bodies[venue]["data"]}) > 100


def test_the_page_of_the_stand_in_tells_every_fault() -> None:
    page = (PAYLOADS.parents[2] / "dev" / "venues" / "README.md").read_text()

    assert {name for name in FAULTS if f"`{name}`" not in page} == set()
