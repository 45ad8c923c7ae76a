"""Our bodies against recorded ones: the same keys with the same types, row by row.

The recordings lie beside the repository and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.exchange.conftest import ROOT, Exchange, frames

DATA = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recorded payloads beside the repository")


def recorded(name: str) -> Any:
    text = (DATA / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)


def shape(value: Any) -> Any:
    """Keys and types; of an array, the shapes its items have."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(item), sort_keys=True) for item in value})
    return type(value).__name__


def by_symbol(rows: Iterable[dict[str, Any]], key: str = "symbol") -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


def text_shape(text: str) -> str:
    """A number in a string: whether it has decimals at all."""
    return "decimal" if "." in text else "whole"


def test_open_interest(exchange: Exchange) -> None:
    ours = exchange.get("/fapi/v1/openInterest", symbol="BTCUSDT").json()
    theirs = recorded("prod_openInterest_samples.jsonl")[0]
    assert list(ours) == list(theirs)
    assert shape(ours) == shape(theirs)
    assert len(ours["openInterest"].split(".")[1]) == len(theirs["openInterest"].split(".")[1]) == 3


def test_premium_index(exchange: Exchange) -> None:
    ours = by_symbol(exchange.get("/fapi/v1/premiumIndex").json())
    for theirs in recorded("prod_premiumIndex_2026-10-07_trimmed3.json"):
        row = ours[theirs["symbol"]]
        assert list(row) == list(theirs)
        assert shape(row) == shape(theirs)
        assert all(len(row[key].split(".")[1]) == 8 for key in row if isinstance(row[key], str) and key != "symbol")
        assert (row["interestRate"] == "0.00000000") == (theirs["interestRate"] == "0.00000000")
        assert (row["time"] % 1000 == 0) == (theirs["time"] % 1000 == 0)


def test_premium_index_of_a_settling_contract(exchange: Exchange) -> None:
    theirs = recorded("prod_premiumIndex_row_samples.jsonl")[0]
    rows = exchange.get("/fapi/v1/premiumIndex").json()
    ours = [row for row in rows if row["nextFundingTime"] == 0 and row["estimatedSettlePrice"] == "0.00000000"]
    assert ours
    assert {json.dumps(shape(row)) for row in ours} == {json.dumps(shape(theirs))}
    assert all(row["lastFundingRate"] == theirs["lastFundingRate"] for row in ours)


def test_ticker_24h(exchange: Exchange) -> None:
    ours = by_symbol(exchange.get("/fapi/v1/ticker/24hr").json())
    for theirs in recorded("prod_ticker24hr_2026-10-07_trimmed3.json"):
        row = ours[theirs["symbol"]]
        assert shape(row) == shape(theirs)
        assert {key: text_shape(row[key]) for key in ("lastPrice", "volume", "priceChangePercent")} == {
            key: text_shape(theirs[key]) for key in ("lastPrice", "volume", "priceChangePercent")
        }


def test_exchange_info(exchange: Exchange) -> None:
    ours, theirs = exchange.get("/fapi/v1/exchangeInfo").json(), recorded("prod_exchangeInfo_2026-10-07_trimmed5.json")
    assert list(ours) == list(theirs)
    assert ours["rateLimits"] == theirs["rateLimits"]
    assert shape(ours["assets"]) == shape(theirs["assets"])
    mine = by_symbol(ours["symbols"])
    kinds = ("contractType", "status", "underlyingType", "quoteAsset", "baseAsset", "marginAsset")
    for row in theirs["symbols"]:
        one = mine[row["symbol"] if row["contractType"] != "CURRENT_QUARTER" else _quarterly(mine)]
        assert list(one) == list(row)
        assert {key: shape(value) for key, value in one.items() if key != "underlyingSubType"} == {
            key: shape(value) for key, value in row.items() if key != "underlyingSubType"
        }
        assert {key: one[key] for key in kinds} == {key: row[key] for key in kinds}
        assert [set(f) for f in one["filters"]] == [set(f) for f in row["filters"]]


def _quarterly(rows: dict[str, dict[str, Any]]) -> str:
    return next(
        symbol for symbol, row in rows.items() if row["contractType"] == "CURRENT_QUARTER" and row["baseAsset"] == "BTC"
    )


def test_stream_rows(fast: Exchange) -> None:
    """Mark frames of both groups, tickers of both markets: keys in the venue's order, times ints, prices texts."""
    theirs = {}
    for name in ("prod_ws_markPriceArr_2026-10_combined.jsonl", "prod_ws_tickerArr_2026-10-07_combined.jsonl"):
        for message in recorded(name):
            rows = message["data"] if isinstance(message.get("data"), list) else []
            theirs.update({(message["stream"], row["s"]): row for row in rows})
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    wanted = {("!markPrice@arr@1s", "BTCUSDT"), ("!markPrice@arr@1s", "BTCUSD_PERP"), ("!markPrice@arr@1s", "XAUUSDT")}
    wanted |= {("!ticker@arr", "BTCUSD_PERP")}
    with fast.stream("/market/stream?streams=!markPrice@arr@1s/!ticker@arr") as ws:
        for message in frames(ws):
            assert list(message) == ["stream", "data"]
            ours.update({(message["stream"], row["s"]): row for row in message["data"]})
            if wanted <= ours.keys():
                break
    assert wanted <= theirs.keys()
    for key in wanted:
        assert list(ours[key]) == list(theirs[key])
        assert shape(ours[key]) == shape(theirs[key])
        assert ours[key]["st"] == theirs[key]["st"]


def test_mini_ticker_row(fast: Exchange) -> None:
    """Recorded before ``ps`` and ``st`` came; everything else must agree."""
    theirs = next(row for row in recorded("prod_ws_tickerArr_2026-10-07_combined.jsonl") if row.get("s") == "BTCUSDT")
    with fast.stream("/market/stream?streams=!miniTicker@arr") as ws:
        ours = next(row for message in frames(ws) for row in message["data"] if row["s"] == "BTCUSDT")
    assert shape({key: value for key, value in ours.items() if key not in ("ps", "st")}) == shape(theirs)


@pytest.mark.parametrize(
    ("answer", "status"), [("429", 429), ("418", 418), ("451", 451), ("-1121", 400), ("-4108", 400), ("-1016", 400)]
)
def test_error_bodies(exchange: Exchange, answer: str, status: int) -> None:
    """Same status, same code, same words before the first figure."""
    exchange.control(fault="rest_answer", answer=answer)
    reply = exchange.get("/fapi/v1/ping")
    assert reply.status_code == status

    def told(body: dict[str, Any]) -> tuple[Any, str]:
        return body["code"], body["msg"].split("IP(")[0]

    known = [json.loads(line["body"]) for line in recorded("error_bodies.jsonl") if line["status"] == status]
    assert told(reply.json()) in [told(body) for body in known]


def test_html_of_the_content_network(exchange: Exchange) -> None:
    pages = [line["body"] for line in recorded("error_bodies.jsonl") if line["status"] == 403]
    for answer, phrase in (
        ("403_html", "Request blocked."),
        ("403_country", "configured to block access from your country"),
    ):
        exchange.control(fault="rest_answer", answer=answer, times=1)
        reply = exchange.get("/fapi/v1/ping")
        assert (reply.status_code, reply.headers["content-type"]) == (403, "text/html")
        assert phrase in reply.text
        assert any(phrase in page and page.split("Request ID")[0][:200] == reply.text[:200] for page in pages)
