"""The contracts: counts and oddities of the venue, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from dev.exchange.universe import Contract, build, quarter_ends

NOW_MS = 1_795_450_000_000  # 2026-11-23


@pytest.fixture(scope="module")
def contracts() -> list[Contract]:
    return build(7, NOW_MS)


def liquid(contract: Contract) -> bool:
    return contract.trading and contract.contract_type == "PERPETUAL" and contract.quote_asset == "USDT"


def test_counts_are_the_venues(contracts: list[Contract]) -> None:
    um = [c for c in contracts if c.listed]
    assert (len(um), sum(c.trading for c in um), len(contracts) - len(um)) == (924, 789, 30 + 8)
    assert sum(liquid(c) for c in um) == 530
    assert len({c.symbol for c in contracts}) == len(contracts)


@pytest.mark.parametrize("seed", [1, 2, 3, 99])
def test_about_340_perpetuals_pass_the_usual_volume_threshold(seed: int) -> None:
    """The universe the poller sweeps must have the size that makes the weight budget tight."""
    assert 325 <= sum(liquid(c) and c.usd_volume >= 4_000_000 for c in build(seed, NOW_MS)) <= 355


def test_the_same_seed_gives_the_same_contracts_and_another_does_not(contracts: list[Contract]) -> None:
    assert build(7, NOW_MS) == contracts
    assert build(8, NOW_MS) != contracts


def test_the_symbols_that_break_naive_code_are_there(contracts: list[Contract]) -> None:
    symbols = {c.symbol for c in contracts if c.trading}
    assert {"币安人生USDT", "我踏马来了USDT", "龙虾USDT", "牛来USDT", "哈基米USDT"} <= symbols
    assert {"BTCU", "ETHU", "BTCUSD1", "ETHUSD1", "SPCXUSD1", "ETHBTC", "USDCUSDT", "BTCDOMUSDT"} <= symbols
    assert {"0GUSDT", "4USDT", "42USDT", "1INCHUSDT", "1000SHIBUSDT", "1000000MOGUSDT", "BUSDT"} <= symbols
    assert max(map(len, symbols)) == 17


def test_every_kind_of_status_contract_and_underlying_is_there(contracts: list[Contract]) -> None:
    um = [c for c in contracts if c.listed]
    assert {"PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "", "CURRENT_QUARTER DELIVERING"} == {
        c.contract_type for c in um
    }
    assert {"TRADING", "SETTLING", "PENDING_TRADING", "PRE_SETTLE", "DELIVERING"} == {c.status for c in um}
    assert Counter(c.quote_asset for c in um if c.trading)["USDC"] == 37
    assert {"COIN", "INDEX", "PREMARKET", "COMMODITY", "EQUITY", "HK_EQUITY", "KR_EQUITY", "CN_EQUITY", "FX"} == {
        c.underlying_type for c in um
    }


def test_chinese_symbols_are_traded_enough_to_matter(contracts: list[Contract]) -> None:
    """If none passed the volume threshold, no test downstream would ever meet one."""
    assert sum(c.usd_volume >= 4_000_000 for c in contracts if not c.symbol.isascii()) >= 4


@pytest.mark.parametrize(
    ("today", "current", "following"),
    [
        (date(2026, 11, 23), date(2026, 12, 25), date(2027, 3, 26)),
        (date(2026, 12, 25), date(2027, 3, 26), date(2027, 6, 25)),
        (date(2027, 1, 1), date(2027, 3, 26), date(2027, 6, 25)),
    ],
)
def test_quarterlies_end_on_the_last_friday_ahead(today: date, current: date, following: date) -> None:
    now_ms = (today.toordinal() - date(1970, 1, 1).toordinal()) * 86_400_000
    assert quarter_ends(now_ms) == (current, following)


def test_recorded_marks_are_taken_over_and_unknown_symbols_join() -> None:
    made = {c.symbol: c for c in build(7, NOW_MS, {"BTCUSDT": 61_000.5, "QQRECORDEDUSDT": 1.25})}
    assert made["BTCUSDT"].start_mark == 61_000.5
    assert made["QQRECORDEDUSDT"].start_mark == 1.25
    assert made["QQRECORDEDUSDT"].trading
    assert len(made) == 962
