"""Judged by real clients: the official SDK and ccxt must take the stand-in for the venue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_common.errors import BadRequestError, RateLimitBanError, TooManyRequestsError
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

from tests.exchange.conftest import Exchange, now_ms
from tests.waiting import eventually


@pytest.fixture
def sdk(exchange: Exchange) -> Any:
    return DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(base_path=exchange.url, timeout=5000, retries=0),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{exchange.origin}"),
    )


@pytest.fixture(scope="module")
def usdm(running: Exchange) -> Iterator[Any]:
    options = {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}
    client = ccxt.binanceusdm({"options": options, "enableRateLimit": False})
    client.urls["api"] = {
        name: url.replace("https://fapi.binance.com", running.url) for name, url in client.urls["api"].items() if url
    }
    client.load_markets()
    yield client
    client.close()


def test_sdk_takes_every_body(sdk: Any) -> None:
    for symbol in ("BTCUSDT", "币安人生USDT"):  # percent-encoded by it
        interest = sdk.rest_api.open_interest(symbol).data()
        assert interest.symbol == symbol
        assert float(interest.open_interest) > 0
    info = sdk.rest_api.exchange_information().data()
    assert len(info.symbols) == 924
    assert {row.symbol: row.quote_asset for row in info.symbols}["币安人生USDT"] == "USDT"
    marks = sdk.rest_api.mark_price().data().actual_instance
    assert len(marks) == 932
    assert 75_000 < float(next(row.mark_price for row in marks if row.symbol == "BTCUSDT")) < 105_000
    assert len(sdk.rest_api.ticker24hr_price_change_statistics().data().actual_instance) == 789
    assert len(sdk.rest_api.open_interest_statistics("BTCUSDT", "5m", limit=3).data()) == 3


def test_sdk_raises_the_errors_it_has_for_the_venues_refusals(exchange: Exchange, sdk: Any) -> None:
    with pytest.raises(BadRequestError, match="Invalid symbol"):
        sdk.rest_api.open_interest("NOSUCHUSDT")
    exchange.control(fault="rest_answer", answer="429", times=1)
    with pytest.raises(TooManyRequestsError):
        sdk.rest_api.open_interest("BTCUSDT")
    exchange.control(fault="ban", ban_s=30)
    with pytest.raises(RateLimitBanError):
        sdk.rest_api.open_interest("BTCUSDT")


async def test_sdk_streams_marks_of_all_contracts(sdk: Any) -> None:
    """It takes the routed address by itself; both frames of a second arrive and parse."""
    seen: dict[str, Any] = {}

    def keep(rows: list[Any]) -> None:
        seen.update({row.s: row for row in rows})

    connection = await sdk.websocket_streams.create_connection()
    try:
        stream = await connection.mark_price_stream_for_all_market(update_speed="1s")
        stream.on("message", keep)
        await eventually(lambda: {"BTCUSDT", "XAUUSDT", "BTCUSD_PERP"} <= seen.keys())
    finally:
        await connection.close_connection(close_session=True)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    assert 75_000 < float(seen["BTCUSDT"].p) < 105_000


def test_ccxt_takes_every_body_and_keeps_the_markets_apart(usdm: Any) -> None:
    assert len(usdm.markets_by_id) == 924
    assert usdm.market("BTC/USDT:USDT")["id"] == "BTCUSDT"
    assert usdm.market("币安人生/USDT:USDT")["active"]
    assert not usdm.market("OMG/USDT:USDT")["active"]
    begun_ms = now_ms()
    interest = usdm.fetch_open_interest("BTC/USDT:USDT")
    assert 80_000 < interest["openInterestAmount"] < 110_000
    assert begun_ms - 2000 < interest["timestamp"] <= now_ms()
    assert usdm.fetch_open_interest("币安人生/USDT:USDT")["openInterestAmount"] > 0
    assert 75_000 < usdm.fetch_mark_prices()["BTC/USDT:USDT"]["markPrice"] < 105_000
    assert usdm.fetch_tickers()["BTC/USDT:USDT"]["quoteVolume"] > 5e9
    assert len(usdm.fetch_open_interest_history("BTC/USDT:USDT", "5m", limit=3)) == 3


def test_ccxt_knows_the_venues_refusals(exchange: Exchange, usdm: Any) -> None:
    exchange.control(fault="ban", ban_s=30)
    with pytest.raises(ccxt.DDoSProtection):
        usdm.fetch_open_interest("BTC/USDT:USDT")
