"""Bodies that the exchange really sent; skipped where the recordings are not at hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from httpx import Headers

from services.oi_poller.universe import Rules, Universe
from shared.errors import Rejected, Transient, WireError
from shared.reply import Reply
from shared.venues.binance import bodies
from shared.venues.binance.answers import failure
from tests.builders import NOW_MS, volume

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no recordings beside the repository")
RULES = Rules(frozenset({"PERPETUAL"}), frozenset({"USDT"}), 0, 0)


def read(name: str) -> bytes:
    return (DATA / name).read_bytes()


def polled(info: bodies.ExchangeInfo) -> set[str]:
    universe = Universe(RULES)
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
    for line in read("prod_openInterest_samples.jsonl").splitlines():
        row = json.loads(line)
        oi = bodies.open_interest(line, row["symbol"], NOW_MS)
        assert (format(oi.open_interest, "f"), oi.changed_ms) == (row["openInterest"], row["time"])


def test_no_recorded_error_body_is_taken_for_open_interest() -> None:
    """Whatever the status, a body of the exchange's errors never becomes a number."""
    for line in read("error_bodies.jsonl").splitlines():
        case = json.loads(line)
        body = case["body"].encode()

        assert isinstance(failure(Reply(case["status"], Headers(), body), NOW_MS), Exception)
        with pytest.raises((WireError, Rejected, Transient)):
            bodies.open_interest(body, "BTCUSDT", NOW_MS)
