"""Open interest over venues, as the API tells it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import NoReturn

import pytest
from redis.asyncio import Redis

from shared.errors import Transient
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, Refusal, VenueLine, venue_rows
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.funding_api.conftest import Client
from tests.funding_api.test_openapi import as_described
from tests.venue_poller.told import told

AGGREGATE, COIN = "/open-interest/aggregate", "/open-interest/venues/{base}"


@pytest.fixture
async def venues(redis: Redis) -> None:
    """BTC at three venues and Binance: one of them refused, one of unknown sides; PEPE at Gate alone."""
    refused = {
        "okx": {"BTC-USDT-SWAP": Refusal("BTC", "jump", "from 1 to 3 BTC at once", NOW_MS - 60_000)},
        "bitget": {"BTCUSDT": Refusal("BTC", "price_off", "by its mark", NOW_MS)},
    }
    past = (Decimal(27_500), None, None)
    rows = {
        "binance": [told(base="95000", venue="binance")],
        "bybit": [told(past=past), told("BTCUSD", "2800", unit="usd", told=Decimal(260_400_000))],
        "okx": [told("BTC-USDT-SWAP", venue="okx", received_ms=NOW_MS - 61_000)],
        "bitget": [told(base="30000", venue="bitget", sides="unknown")],
    }
    async with round_trip(redis) as pipe:
        for venue, of_coin in rows.items():
            venue_rows(venue).put(pipe, {"BTC": of_coin})
            line = VenueLine(NOW_MS, NOW_MS, len(of_coin), 1, refused.get(venue, {}))
            VENUE_LINES.put(pipe, {venue: line})
        venue_rows("gate").put(pipe, {"PEPE": [told("PEPE_USDT", coin="PEPE", venue="gate", price="0.000004")]})
        VENUE_LINES.put(pipe, {"gate": VenueLine(0, NOW_MS, 0, 0, trouble="403 <html>")})


async def test_a_coin_at_each_venue(api: Client, venues: None) -> None:
    for path in ("BTC", "btc", "1000BTC"):
        status, body = await api.get(f"/open-interest/venues/{path}")
        assert (status, body["coin"], body["openInterest"]) == (200, "BTC", 125_800)

    assert as_described(body, COIN, 200)
    assert [(row["venue"], row["symbol"], row["sides"], row["unit"]) for row in body["members"]] == [
        ("binance", "BTCUSDT", "one", "base"),
        ("bybit", "BTCUSDT", "one", "base"),
        ("bybit", "BTCUSD", "one", "usd"),
    ]
    assert {row["symbol"]: row["whyNotSummed"] for row in body["shown"]} == {
        "BTC-USDT-SWAP": "stale",
        "BTCUSDT": "unknown_sides",
    }
    jump = {"evidence": "from 1 to 3 BTC at once", "since": NOW_MS / 1000 - 60}
    assert body["leftOut"] == [
        {"venue": "bitget", "symbol": "BTCUSDT", "why": "unknown_sides"},
        {"venue": "okx", "symbol": "BTC-USDT-SWAP", "why": "jump", **jump},
    ]
    assert [(one["venue"], round(one["now"], 4), one["hourAgo"]) for one in body["shares"]] == [
        ("binance", 0.7552, None),
        ("bybit", 0.2448, None),
    ]
    assert body["change5m"] == pytest.approx(28000 / 27500 - 1)
    assert (body["change15m"], body["change1h"]) == (None, None)


async def test_every_coin_and_how_the_venues_stand(api: Client, venues: None, clock: FakeClock) -> None:
    status, body = await api.get(AGGREGATE)

    assert status == 200
    assert as_described(body, AGGREGATE, 200)
    assert {row["coin"]: row["openInterest"] for row in body["data"]} == {"BTC": 125_800, "PEPE": 28_000}
    states = {state["venue"]: state for state in body["venues"]}
    assert (states["gate"]["trouble"], states["gate"]["believedAt"], states["okx"]["refused"]) == (
        "403 <html>",
        None,
        1,
    )

    clock.advance(31)
    _, body = await api.get(AGGREGATE)
    btc = next(row for row in body["data"] if row["coin"] == "BTC")
    assert (btc["openInterest"], btc["members"], btc["oldestSeconds"]) == (None, [], None)


@pytest.mark.parametrize("path", ["/open-interest/venues/NOPE", "/open-interest/venues/%E9%BE%99"])
async def test_a_coin_that_no_venue_has(api: Client, venues: None, path: str) -> None:
    status, body = await api.get(path)

    assert (status, body["detail"]["error"]) == (404, "Coin not found")


async def test_where_no_venue_is_read_nothing_is_made_up(api: Client) -> None:
    for path in (AGGREGATE, "/open-interest/venues/BTC"):
        assert await api.get(path) == (404, {"detail": {"error": "No other venue is read"}})


async def test_who_asks_while_redis_is_read_waits_for_it(api: Client, venues: None) -> None:
    """The second was told that no other venue is read."""
    answers = await asyncio.gather(*(api.get(AGGREGATE) for _ in range(5)))

    assert {status for status, _ in answers} == {200}
    assert all(body == answers[0][1] for _, body in answers)


async def test_while_redis_is_away_no_old_answer_is_given(
    api: Client, venues: None, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as if it were fresh, nor as if no venue were read: each who asks hears that Redis is away."""
    assert (await api.get(AGGREGATE))[0] == 200

    async def away(*_: object) -> NoReturn:
        raise Transient("Redis is away")

    clock.advance(600)
    with monkeypatch.context() as patch:
        patch.setattr("services.funding_api.venues.read_venues", away)
        for _ in range(2):
            status, body = await api.get(AGGREGATE)
            assert (status, body["detail"]["error"]) == (503, "Data unavailable")

    clock.advance(2)
    assert (await api.get(AGGREGATE))[0] == 200
