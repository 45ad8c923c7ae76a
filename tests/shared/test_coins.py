"""Names of coins, with and without a multiplier."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.coins import binance_symbols, unit_of


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("BTC", ("BTC", 1)),
        ("1000PEPE", ("PEPE", 1000)),
        ("10000SATS", ("SATS", 10_000)),
        ("1000000MOG", ("MOG", 1_000_000)),
        ("1MBABYDOGE", ("BABYDOGE", 1_000_000)),
        ("SHIB1000", ("SHIB", 1000)),
        ("1INCH", ("1INCH", 1)),
        ("0G", ("0G", 1)),
        ("1000", ("1000", 1)),
        ("1M", ("1M", 1)),
        ("币安人生", ("币安人生", 1)),
    ],
)
def test_a_name_with_its_multiplier(name: str, unit: tuple[str, int]) -> None:
    assert unit_of(name) == unit


@given(st.text(max_size=12))
def test_a_name_and_its_multiplier_make_the_name_again(name: str) -> None:
    coin, multiplier = unit_of(name)
    assert coin in name
    assert multiplier == 1 or str(multiplier).startswith("1")


def test_binance_s_names_of_a_coin_are_composed() -> None:
    assert dict(binance_symbols("PEPE"))["1000PEPEUSDT"] == 1000
    assert dict(binance_symbols("BTC"))["BTCUSDT"] == 1
    assert dict(binance_symbols("BABYDOGE"))["1MBABYDOGEUSDT"] == 1_000_000
