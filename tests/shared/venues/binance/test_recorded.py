"""What the exchange really sent, not bodies of our own making; skipped where the recordings are not at hand."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from services.oi_poller.universe import Rules, Universe
from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.venues.binance import bodies, frames
from shared.venues.binance.answers import ban_s, failure
from tests.builders import NOW_MS, reply, volume

DATA = Path(__file__).parents[4].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recordings beside the repository")


def read(name: str) -> bytes:
    return (DATA / name).read_bytes()


def lines(*names: str) -> list[bytes]:
    return [line for name in names for line in read(name).splitlines()]


def mark_of(row: frames.Row) -> Decimal:
    return Decimal(frames.mark_price(row, NOW_MS, []).mark_price)


def test_mark_frames() -> None:
    for blob in lines(
        "prod_ws_markPriceArr_2026-10_combined.jsonl",
        "prod_ws_markPriceArr_2026-10-05_raw.jsonl",
        "prod_ws_markPrice_single_frames.jsonl",
    ):
        rows, bad = frames.decode_frame(blob)
        assert (bool(rows), bad) == (True, [])
        for row in rows:
            assert mark_of(row) > 0
            assert (row.st == frames.COIN_M) == ("USD_PERP" in row.s)
    of_old = rows[0]  # of a delivery contract
    assert frames.mark_price(of_old, NOW_MS, []).funding_rate is None


def test_tickers_never_become_marks() -> None:
    for blob in lines("prod_ws_tickerArr_2026-10-07_combined.jsonl"):
        rows, bad = frames.decode_frame(blob)
        assert bad == []
        assert {row.e for row in rows} <= {"24hrTicker", "24hrMiniTicker"}
    assert frames.quote_volume(rows[0]).quote_volume == Decimal("15202373572.10")


def test_control_frames() -> None:
    """Acknowledgements and errors are not rows."""
    for line in lines("ws_control_frames.jsonl"):
        item = json.loads(line)
        assert item["dir"] != "in" or frames.decode_frame(json.dumps(item["frame"]).encode()).rows == []


@pytest.mark.parametrize(
    "name", ["prod_premiumIndex_2026-10-07_trimmed3.json", "prod_premiumIndex_2025-06-17_521rows.json"]
)
def test_premium_index(name: str) -> None:
    body = read(name)
    rows, bad = bodies.premium_index(body)
    assert (len(rows), bad) == (len(json.loads(body)), [])
    assert all(mark_of(row) > 0 for row in rows)


def test_ticker_24h() -> None:
    rows, bad = bodies.ticker_24h(read("prod_ticker24hr_2026-10-07_trimmed3.json"))
    assert bad == []
    assert {row.s: frames.quote_volume(row).quote_volume for row in rows}["币安人生USDT"] == Decimal("3427981.5502400")


def polled(info: bodies.ExchangeInfo) -> set[str]:
    universe = Universe(Rules(frozenset({"PERPETUAL"}), frozenset({"USDT"}), 0, 0))
    assert universe.believe(info.listings) is None
    universe.look({s: volume(s, event_ms=2**53) for s in info.listings}, NOW_MS, 0.0)
    return set(universe.members)


def test_exchange_info_of_production() -> None:
    """TradFi, a delisted contract and a quarterly are listed beside what we poll, a Chinese name among it."""
    info = bodies.exchange_info(read("prod_exchangeInfo_2026-10-07_trimmed5.json"), pytest.fail)

    assert info.weight_limit == 2400
    assert set(info.listings) == {"BTCUSDT", "XAUUSDT", "币安人生USDT", "OMGUSDT", "BTCUSDT_261225"}
    assert polled(info) == {"BTCUSDT", "币安人生USDT"}


def test_exchange_info_of_the_demo_host() -> None:
    """705 contracts in five states, one type with a space in it, another weight limit."""
    info = bodies.exchange_info(read("demo_exchangeInfo_2026-03-31_705symbols.json"), pytest.fail)

    assert (len(info.listings), info.weight_limit) == (705, 6000)
    assert len(Counter(listing.status for listing in info.listings.values())) == 5
    names = polled(info)
    assert len(names) > 300
    assert all(info.listings[name].status == "TRADING" for name in names)


def test_open_interest_of_production() -> None:
    """Perpetuals, a quarterly, and COIN-M bodies with keys of their own."""
    for line in lines("prod_openInterest_samples.jsonl"):
        row = json.loads(line)
        oi = bodies.open_interest(line, row["symbol"], NOW_MS)
        assert (format(oi.open_interest, "f"), oi.changed_ms) == (row["openInterest"], row["time"])


def test_error_bodies() -> None:
    """Each gets the verdict that the exchange's documentation and measurements call for, and never becomes a number.

    Bans are read to the millisecond, in three wordings over the years, one of them with the address starred out.
    """
    by_status = {418: Banned, 429: RateLimited, 403: Refused, 451: Refused, 503: Transient}
    for line in lines("error_bodies.jsonl"):
        case = json.loads(line)
        status, body = case["status"], case["body"].encode()

        error = failure(reply(status, body), NOW_MS)

        assert type(error) is (Refused if b"-1016" in body else by_status.get(status, Rejected)), case["when"]
        assert not isinstance(error, Rejected) or error.code == json.loads(body)["code"]
        with pytest.raises(WireError):
            bodies.open_interest(body, "BTCUSDT", NOW_MS)
        if status == 418:
            told_ms = int(case["body"].split("banned until ")[1][:13]) - 300_500
            assert ban_s(reply(418, body), told_ms) == 300.5
