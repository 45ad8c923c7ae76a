"""REST bodies, errors and headers, from the real process."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.exchange.conftest import Exchange, now_ms

USED = "X-MBX-USED-WEIGHT-1M"


def test_open_interest_is_a_string_with_its_last_change_time(exchange: Exchange) -> None:
    begun_ms = now_ms()
    reply = exchange.get("/fapi/v1/openInterest", symbol="BTCUSDT")
    body = reply.json()
    assert list(body) == ["symbol", "openInterest", "time"]
    assert 80_000 < float(body["openInterest"]) < 110_000
    assert begun_ms - 2000 < body["time"] <= now_ms()
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("symbol", ["币安人生USDT", "我踏马来了USDT", "龙虾USDT", "牛来USDT", "哈基米USDT", "ETHusdt"])
def test_symbols_are_found_when_percent_encoded_and_in_any_case(exchange: Exchange, symbol: str) -> None:
    reply = exchange.get("/fapi/v1/openInterest", symbol=symbol)
    assert reply.json()["symbol"] == symbol.upper()
    assert symbol.isascii() or "%" in str(reply.request.url.raw_path)
    assert symbol.upper().encode() in reply.content, "the venue sends UTF-8, not escapes"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?symbol=NOSUCHUSDT", -1121),
        ("?symbol=BTCUSD_PERP", -1121),
        ("?symbol=OMGUSDT", -4108),
        ("?symbol=BTCSTUSDT", -4108),
        ("?symbol=", -1102),
        ("", -1102),
        ("?symbol=BTC%24USDT", -1100),
    ],
)
def test_refusals_cost_weight_like_answers(exchange: Exchange, query: str, code: int) -> None:
    before = int(exchange.get("/fapi/v1/ping").headers[USED])
    reply = exchange.get(f"/fapi/v1/openInterest{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, code)
    used = int(reply.headers[USED])
    assert used == before + 1 or used == 1  # 1: the clock minute turned in between


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("/fapi/v1/ping", 1),
        ("/fapi/v1/exchangeInfo", 1),
        ("/fapi/v1/premiumIndex", 10),
        ("/fapi/v1/premiumIndex?symbol=BTCUSDT", 1),
        ("/fapi/v1/ticker/24hr", 40),
        ("/fapi/v1/ticker/24hr?symbol=BTCUSDT", 1),
    ],
)
def test_each_route_has_the_venues_weight(exchange: Exchange, path: str, weight: int) -> None:
    before = int(exchange.get("/fapi/v1/ping").headers[USED])
    used = int(exchange.get(path).headers[USED])
    assert used == before + weight or used == weight


def test_exchange_info_is_gzipped_for_those_who_ask(exchange: Exchange) -> None:
    plain = exchange.http.get("/fapi/v1/exchangeInfo", headers={"Accept-Encoding": "identity"})
    packed = exchange.http.get("/fapi/v1/exchangeInfo", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) * 10 < int(plain.headers["content-length"])
    assert packed.json()["symbols"] == plain.json()["symbols"]


def test_exchange_info_tells_the_limit_and_no_coin_m(exchange: Exchange) -> None:
    begun_ms = now_ms()
    body = exchange.get("/fapi/v1/exchangeInfo").json()
    assert body["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 2400,
    }
    assert len(body["symbols"]) == 924
    assert not any(row["symbol"].endswith("_PERP") for row in body["symbols"])
    assert begun_ms - 1 <= body["serverTime"] <= now_ms()


def test_tickers_are_of_trading_contracts_and_premium_index_of_all(exchange: Exchange) -> None:
    """The universe must come from exchangeInfo: the delisted still carry a mark."""
    status = {row["symbol"]: row["status"] for row in exchange.get("/fapi/v1/exchangeInfo").json()["symbols"]}
    tickers = exchange.get("/fapi/v1/ticker/24hr").json()
    marks = exchange.get("/fapi/v1/premiumIndex").json()
    assert {row["symbol"] for row in tickers} == {symbol for symbol, what in status.items() if what == "TRADING"}
    removed = {row["symbol"] for row in marks} - set(status)
    assert (len(removed), len(marks)) == (8, len(status) + 8), "and those that exchangeInfo lists no longer"
    assert exchange.get("/fapi/v1/openInterest", symbol=removed.pop()).json()["code"] == -1121
    settling = [row for row in marks if status.get(row["symbol"]) == "SETTLING"]
    assert all(row["estimatedSettlePrice"] == "0.00000000" and float(row["markPrice"]) > 0 for row in settling)
    assert {row["nextFundingTime"] == 0 for row in settling} == {True, False}


def test_premium_index_tells_whole_seconds_for_crypto_and_a_phase_for_tradfi(exchange: Exchange) -> None:
    times = {row["symbol"]: row["time"] for row in exchange.get("/fapi/v1/premiumIndex").json()}
    assert times["BTCUSDT"] % 1000 == 0
    assert times["OMGUSDT"] == times["BTCUSDT"]
    assert times["XAUUSDT"] % 1000 == 684


def test_history_tells_what_open_interest_told(exchange: Exchange) -> None:
    rows = exchange.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit="500").json()
    assert len(rows) == 500
    assert {b["timestamp"] - a["timestamp"] for a, b in itertools.pairwise(rows)} == {300_000}
    assert rows[-1]["timestamp"] % 300_000 == 0
    now = float(exchange.get("/fapi/v1/openInterest", symbol="BTCUSDT").json()["openInterest"])
    assert abs(float(rows[-1]["sumOpenInterest"]) / now - 1) < 0.03
    price = float(rows[-1]["sumOpenInterestValue"]) / float(rows[-1]["sumOpenInterest"])
    assert 75_000 < price < 105_000
    assert exchange.get("/futures/data/openInterestHist", symbol="BTCUSDT", period="7m").json()["code"] == -1130


def test_unknown_paths_get_the_venues_404(exchange: Exchange) -> None:
    reply = exchange.get("/fapi/v1/nothing")
    assert (reply.status_code, reply.json()["code"]) == (404, -5000)


def test_over_the_limit_429_then_418_then_peace_again(exchange: Exchange) -> None:
    """The whole road a careless client takes, with the texts it must be able to read."""
    exchange.control(fault="limits", limit=60, ban_after=5, ban_s=20, grace_ms=0)
    assert exchange.get("/fapi/v1/exchangeInfo").json()["rateLimits"][0]["limit"] == 60
    seen: list[int] = []
    banned = None
    for _ in range(300):
        reply = exchange.get("/fapi/v1/openInterest", symbol="BTCUSDT")
        if reply.status_code not in seen:
            seen.append(reply.status_code)
        if reply.status_code == 429:
            assert reply.json()["code"] == -1003
            assert "current limit of IP(" in reply.json()["msg"]
            assert 1 <= int(reply.headers["Retry-After"]) <= 60
        if reply.status_code == 418:
            banned = reply
            break
    assert banned is not None
    assert seen == [200, 429, 418]
    until_ms = int(banned.json()["msg"].split("banned until ")[1][:13])
    assert until_ms <= now_ms() + 20_000
    assert banned.headers["Retry-After"] == "20"
    later = exchange.get("/fapi/v1/ping")
    assert later.status_code == 418
    assert int(later.json()["msg"].split("banned until ")[1][:13]) >= until_ms
    weight = exchange.state()["weight"]
    assert (weight["bans"], weight["requests_during_ban"]) == (1, 1)
    exchange.http.post("/control/reset")
    assert exchange.get("/fapi/v1/ping").status_code == 200


def test_marks_of_a_recorded_body_and_values_with_their_time(tmp_path: Path) -> None:
    """A bench reads from a value when it was made."""
    path = tmp_path / "premiumIndex.json"
    recorded = {"BTCUSDT": 61_000.5, "QQRECORDEDUSDT": 12_500.0}
    path.write_text(json.dumps([{"symbol": symbol, "markPrice": f"{price:.8f}"} for symbol, price in recorded.items()]))
    clocked = Exchange("--clock-in-values", "--seed-from", str(path))
    try:
        before = now_ms() % 86_400_000
        value = clocked.get("/fapi/v1/openInterest", symbol="BTCUSDT").json()["openInterest"]
        assert int(before) <= int(value.split(".")[1]) <= now_ms() % 86_400_000
        marks = {row["symbol"]: row for row in clocked.get("/fapi/v1/premiumIndex").json()}
        for symbol, price in recorded.items():
            assert float(marks[symbol]["markPrice"]) == pytest.approx(price, rel=0.001)
            assert int(marks[symbol]["markPrice"].split(".")[1]) == marks[symbol]["time"] % 86_400_000
    finally:
        clocked.close()
