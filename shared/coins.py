"""Which contracts are of one coin. A name is never proof: who matches by it compares the prices too.

Venues list cheap coins by the thousand or million, each in its own spelling: ``1000PEPEUSDT`` (Binance, Bybit),
``kPEPE`` (Hyperliquid), ``1MBABYDOGEUSDT``, ``SHIB1000USDT`` (Bybit). A coin here is one unit, without any of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

MULTIPLIERS = {"1000": 1_000, "10000": 10_000, "100000": 100_000, "1000000": 1_000_000, "1M": 1_000_000}
QUOTES = ("USDT", "USDC")  # a dollar each, as far as open interest is concerned
_BEFORE = re.compile(r"(10{3,6}|1M)(?=\D)(.+)", re.ASCII)  # 1INCH and 0G have none
_BEHIND = re.compile(r"(.*\D)(10{3,6})", re.ASCII)


class Unit(NamedTuple):
    coin: str
    multiplier: int  # coins in one of what the venue calls its base


@lru_cache(maxsize=8192)
def unit_of(base: str) -> Unit:
    """``1000PEPE`` and ``SHIB1000`` -> 1,000 of them; any other name is a coin of itself."""
    if before := _BEFORE.fullmatch(base):
        return Unit(before[2], MULTIPLIERS[before[1]])
    if behind := _BEHIND.fullmatch(base):
        return Unit(behind[1], MULTIPLIERS[behind[2]])
    return Unit(base, 1)


@lru_cache(maxsize=8192)
def binance_symbols(coin: str) -> tuple[tuple[str, int], ...]:
    """Every symbol that Binance could list this coin under, with its multiplier: composed, to be looked up.

    Binance's own symbols are never taken apart: not every one of them is a coin and a quote.
    """
    prefixes = (("", 1), *MULTIPLIERS.items())
    return tuple((f"{prefix}{coin}{quote}", multiplier) for quote in QUOTES for prefix, multiplier in prefixes)
