"""The real process on the stand-in of the five; and whether others take that stand-in for the venues."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from dev.processes import Child
from dev.redis_server import free_port
from dev.venues.market import Market
from services.venue_poller.__main__ import serve
from services.venue_poller.settings import Settings
from services.venue_poller.venues import VENUES
from shared.model import MarkPrice, OpenInterest, Reading
from shared.settings import load
from shared.store import CONTRACTS, MARKS, round_trip
from shared.venuelines import read_venues
from tests.fakes import FakeClock, at_work, service
from tests.pipeline.harness import Pipeline
from tests.waiting import eventually

SEED = 7


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, folder = free_port(), tmp_path_factory.mktemp("venues")
    child = Child("venues", [sys.executable, "-m", "dev.venues", "--port", str(port), "--seed", str(SEED)], {}, folder)
    child.start()
    child.until_listening(port)
    yield f"http://127.0.0.1:{port}"
    child.stop()


async def put_binance(redis: Redis) -> None:
    """Marks and open interest of a moment ago, of the market that the stand-in plays too."""
    now_ms = time.time_ns() // 1_000_000
    market = Market(SEED, now_ms, 20)
    marks, contracts = {}, {}
    for base in market.books:
        price, oi = market.binance(base, now_ms)
        symbol = f"{base}USDT"
        marks[symbol] = MarkPrice(symbol, Decimal(f"{price:.10f}"), None, None, 0, now_ms, now_ms)
        contracts[symbol] = Reading(OpenInterest(symbol, Decimal(f"{oi:.3f}"), now_ms, now_ms), None)
    async with round_trip(redis) as pipe:
        MARKS.put(pipe, marks)
        CONTRACTS.put(pipe, contracts)


async def test_it_reads_all_five_and_tells_of_it(redis: Redis, redis_url: str, stand_in: str, tmp_path: Path) -> None:
    urls = ",".join(f"{name}={stand_in}/{name}" for name in VENUES)
    async with Pipeline(tmp_path, REDIS_URL=redis_url) as pipeline:
        pipeline.start_service("venue_poller", VENUES="all", VENUE_URLS=urls)

        async def all_read() -> bool:
            await put_binance(redis)
            told = await pipeline.healthz("venue_poller")
            return told.get("state") == "ok" and told.get("read", "").count(",") == 4

        await eventually(all_read, every_s=0.5)
        seen = await read_venues(redis, pytest.fail)
        found = seen.sum("BTC", time.time_ns() // 1_000_000)
        assert found.venues >= {"bybit", "okx", "gate"}
        assert {one.venue for one in found.out} == {"hyperliquid", "bitget"}
        written = {key.decode() for key in await redis.keys("*")} - {MARKS.key, CONTRACTS.key}
        life = {"oi:hosts", *(f"oi:{kind}:venue_poller" for kind in ("status", "lease", "fence"))}  # of every service
        told = {"oi:venues", *(f"oi:venue:{name}" for name in (*VENUES, "binance"))}
        assert written <= life | told, "what is others' is left alone"
        assert pipeline["venue_poller"].stop() == 0


async def test_without_venues_it_idles_and_says_so(redis: Redis, clock: FakeClock) -> None:
    told = service(clock, redis)

    async with at_work(serve(load(Settings, {}), told)):
        await eventually(lambda: told.health.report().healthy)

    assert told.health.report().detail == "idle: VENUES is empty, no other venue is read"
    assert (told.facts["venues"], await redis.keys("oi:venue*")) == ("", [])


def client_of(name: str, **options: Any) -> Any:
    import ccxt  # takes two seconds: not in a worker that only looks which tests there are

    return getattr(ccxt, name)({"enableRateLimit": False, **options})


def swap(client: Any, symbol: str) -> Any:
    fields = {"base": "BTC", "quote": "USDT", "settle": "USDT", "baseId": "BTC", "quoteId": "USDT", "settleId": "USDT"}
    kind = {"type": "swap", "spot": False, "swap": True, "future": False, "option": False, "contract": True}
    market = {"id": symbol, "symbol": "BTC/USDT:USDT", **fields, **kind, "linear": True, "inverse": False}
    return client.safe_market_structure({**market, "contractSize": 1, "active": True})


def test_ccxt_takes_the_stand_in_for_okx(stand_in: str) -> None:
    client = client_of("okx")
    client.urls["api"] = {"rest": f"{stand_in}/okx"}
    client.set_markets([swap(client, "BTC-USDT-SWAP")])

    told = client.fetch_open_interests(["BTC/USDT:USDT"])["BTC/USDT:USDT"]

    assert 10_000 < told["baseVolume"] < 45_000
    assert abs(told["openInterestValue"] / told["baseVolume"] / 90_000 - 1) < 0.3


def test_ccxt_takes_the_stand_in_for_bybit(stand_in: str) -> None:
    client = client_of("bybit")
    client.urls["api"] = dict.fromkeys(client.urls["api"], f"{stand_in}/bybit")
    client.set_markets([swap(client, "BTCUSDT")])

    told = client.fetch_tickers(["BTC/USDT:USDT"])["BTC/USDT:USDT"]

    assert 70_000 < told["markPrice"] < 120_000
    assert abs(float(told["info"]["openInterest"]) / float(told["info"]["singleOpenInterest"]) - 2) < 1e-6


def test_ccxt_takes_the_stand_in_for_hyperliquid(stand_in: str) -> None:
    client = client_of("hyperliquid", options={"fetchMarkets": {"types": ["swap"]}})
    client.urls["api"] = dict.fromkeys(("public", "private"), f"{stand_in}/hyperliquid")
    client.has["fetchCurrencies"] = False  # of the spot market

    told = client.fetch_open_interests()

    assert 10_000 < told["BTC/USDC:USDC"]["openInterestAmount"] < 45_000


def test_a_fault_that_is_none_is_refused(stand_in: str) -> None:
    answer = httpx.post(f"{stand_in}/control", json={"venue": "okx", "fault": "nothing"}, trust_env=False)

    assert answer.status_code == 400
    assert "is not one of" in answer.json()["error"]
