"""What is true at the venues: open interest of one side as a function of seed and time, and the exchange's own prices.

Coins and prices are those of the exchange stand-in of the same seed, so that what is told here can be proved there. A
venue's open interest walks with Binance's for the larger part and by itself for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dev.exchange import universe
from dev.exchange.market import Book, Walk, key_of
from shared.coins import unit_of

TOGETHER, ALONE_DAILY = 0.7, 0.02
LISTS = {"bybit": 0.9, "okx": 0.6, "gate": 0.95, "hyperliquid": 0.4, "bitget": 0.9}  # share of Binance's coins
MAJORS = ("BTC", "ETH")
# Of -1..1: above the first, of the coins that a venue does not list, it lists another asset of that name; above the
# second, of those that it lists, it has far more of it than Binance.
NAMESAKES, AT_HOME = 0.94, 0.98


@dataclass(frozen=True)
class Contract:
    """One contract of a venue; ``multiplier``: coins in one of its base. ``size``: its base in one contract."""

    venue: str
    symbol: str
    coin: str
    multiplier: int
    share: float  # of Binance's open interest in that coin
    inverse: bool = False
    size: float = 1.0
    other: bool = False  # another asset of that name, at another price


class Market:
    def __init__(self, seed: int, now_ms: int, coins: int = 10_000) -> None:
        listed = [c for c in universe.build(seed, now_ms) if c.contract_type == "PERPETUAL" and c.trading]
        kept = [c for c in listed if c.quote_asset == "USDT" and not c.coin_m][:coins]
        self.books = {c.base_asset: Book(c, seed) for c in kept}
        self._by_coin = {unit_of(base).coin: base for base in self.books}
        self._walks: dict[tuple[str, str], Walk] = {}
        self.seed = seed
        self.contracts = {venue: self._list(venue) for venue in LISTS}

    def mark(self, contract: Contract, at_ms: int) -> float:
        """Price of what the contract calls its base, a little off Binance's."""
        base = self._by_coin[contract.coin]
        ours = self.books[base].mark_at(at_ms) / unit_of(base).multiplier
        ours *= 7 if contract.other else 1
        return ours * contract.multiplier * (1 + self._draw(contract.venue, contract.coin, "basis") * 0.0005)

    def coins(self, contract: Contract, at_ms: int) -> float:
        """Open interest of one side, in single coins: the truth."""
        base = self._by_coin[contract.coin]
        book = self.books[base]
        level = book.contract.start_oi * unit_of(base).multiplier * contract.share
        return level * math.exp(TOGETHER * book.oi_walk.once(at_ms) + self._walk(contract).once(at_ms))

    def binance(self, base: str, at_ms: int) -> tuple[float, float]:
        """Mark and open interest of Binance's own contract of this base."""
        return self.books[base].mark_at(at_ms), self.books[base].oi_at(at_ms)

    def funding(self, contract: Contract) -> float:
        return self._draw(contract.venue, contract.coin, "funding") * 0.0002

    def lag_ms(self, contract: Contract) -> int:
        """How much older the stamp of its row is than the answer: up to three seconds."""
        return key_of(self.seed, contract.symbol, f"lag at {contract.venue}") % 3000

    def find(self, venue: str, symbol: str) -> Contract:
        return next(c for c in self.contracts[venue] if c.symbol == symbol)

    def _walk(self, contract: Contract) -> Walk:
        key = contract.venue, contract.symbol
        if key not in self._walks:
            self._walks[key] = Walk(key_of(self.seed, contract.symbol, f"oi at {contract.venue}"), ALONE_DAILY)
        return self._walks[key]

    def _draw(self, venue: str, coin: str, what: str) -> float:
        """-1..1, fixed for ever."""
        return key_of(self.seed, coin, f"{what} at {venue}") % 2001 / 1000 - 1

    def _list(self, venue: str) -> list[Contract]:
        found = []
        for base in self.books:
            coin, multiplier = unit_of(base)
            listed = (self._draw(venue, coin, "listed") + 1) / 2 <= LISTS[venue] or coin in MAJORS
            if not listed and self._draw(venue, coin, "namesake") < NAMESAKES:
                continue
            share = 0.3 + 0.15 * self._draw(venue, coin, "share")
            if self._draw(venue, coin, "home") > AT_HOME and coin not in MAJORS:
                share *= 12
            found.append(_contract(venue, coin, multiplier, share, self._size(coin, base), other=not listed))
            if coin in MAJORS:
                found += _beside(venue, coin, share / 12)
        return found

    def _size(self, coin: str, base: str) -> float:
        """A contract of some ten dollars, in coins: a power of ten."""
        price = self.books[base].mark0 / unit_of(base).multiplier
        return float(10 ** round(math.log10(10 / price)))


def _contract(venue: str, coin: str, multiplier: int, share: float, size: float, *, other: bool) -> Contract:
    """Each in the venue's own spelling: OKX and Gate by sizes of contracts, the others by multiplied names."""
    thousand, name = multiplier == 1000, coin if multiplier == 1 else f"{multiplier}{coin}"
    if venue in {"okx", "gate"}:
        symbol = f"{coin}-USDT-SWAP" if venue == "okx" else f"{coin}_USDT"
        return Contract(venue, symbol, coin, 1, share, size=size, other=other)
    if venue == "hyperliquid":
        return Contract(venue, f"k{coin}" if thousand else coin, coin, 1000 if thousand else 1, share, other=other)
    symbol = "SHIB1000USDT" if venue == "bybit" and coin == "SHIB" else f"{name}USDT"
    return Contract(venue, symbol, coin, multiplier, share, other=other)


def _beside(venue: str, coin: str, share: float) -> list[Contract]:
    """Of the largest: the contract of one USD each, and that in USDC."""
    inverse = {"bybit": f"{coin}USD", "okx": f"{coin}-USD-SWAP", "gate": f"{coin}_USD"}
    usdc = {"bybit": f"{coin}PERP", "okx": f"{coin}-USDC-SWAP"}
    found = [Contract(venue, inverse[venue], coin, 1, share, inverse=True)] if venue in inverse else []
    return found + (
        [Contract(venue, usdc[venue], coin, 1, share / 2, size=0.01 if venue == "okx" else 1.0)]
        if venue in usdc
        else []
    )
