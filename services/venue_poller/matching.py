"""Is this contract of the coin its name says? Proved by price against Binance's mark of that coin. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from shared.coins import binance_symbols
from shared.model import MarkPrice, Reading, VenueOpenInterest
from shared.venuelines import BINANCE

WITHIN = Decimal("0.05")
MARK_MAX_AGE_MS = 15_000


class Own(NamedTuple):
    """Binance's own of a coin, by single coins: the price others are held against, and the open interest."""

    mark_price: Decimal
    rows: tuple[VenueOpenInterest, ...]

    @property
    def base(self) -> Decimal:
        return sum((row.base for row in self.rows), Decimal(0))


class Doubt(Exception):
    """This contract cannot be believed; ``why`` is one word, the text the evidence."""

    def __init__(self, why: str, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class Binance:
    """What Redis holds of Binance at one instant; looked up by coin, each coin once."""

    def __init__(self, marks: Mapping[str, MarkPrice], contracts: Mapping[str, Reading], now_ms: int) -> None:
        self._marks = marks
        self._contracts = contracts
        self._now_ms = now_ms
        self._known: dict[str, Own | None] = {}

    def of(self, coin: str) -> Own | None:
        """None: Binance does not poll this coin, or has no fresh mark of it; nothing can be proved then."""
        if coin not in self._known:
            self._known[coin] = self._look(coin)
        return self._known[coin]

    @property
    def fresh(self) -> bool:
        """Whether there is anything to hold others against."""
        return any(self._is_fresh(mark) for mark in self._marks.values())

    def _look(self, coin: str) -> Own | None:
        """Contracts of another multiplier are of this coin only where their price is that of the first one's.

        Two assets may share a name: 1000000BOBUSDT and BOBUSDT are not of one coin.
        """
        rows: list[VenueOpenInterest] = []
        first: tuple[int, Decimal] | None = None
        for symbol, multiplier in binance_symbols(coin):
            mark, reading = self._marks.get(symbol), self._contracts.get(symbol)
            if mark is None or reading is None:
                continue
            first = first or (multiplier, mark.mark_price / multiplier)
            same = multiplier == first[0] or abs(mark.mark_price / multiplier / first[1] - 1) <= WITHIN
            if same and self._is_fresh(mark) and reading.open_interest.open_interest > 0:
                rows.append(own_row(coin, multiplier, reading, mark))
        return Own(rows[0].mark_price or Decimal(0), tuple(rows)) if rows else None

    def _is_fresh(self, mark: MarkPrice) -> bool:
        return abs(self._now_ms - mark.received_ms) <= MARK_MAX_AGE_MS


def own_row(coin: str, multiplier: int, reading: Reading, mark: MarkPrice) -> VenueOpenInterest:
    """A contract of Binance in the words of the others."""
    oi = reading.open_interest
    return VenueOpenInterest(
        venue=BINANCE,
        symbol=oi.symbol,
        coin=coin,
        multiplier=multiplier,
        told=oi.open_interest,
        unit="base",
        base=oi.open_interest * multiplier,
        sides="one",
        mark_price=mark.mark_price / multiplier,
        mark_of="venue",
        funding_rate=mark.funding_rate,
        venue_ms=oi.changed_ms,
        received_ms=oi.received_ms,
    )


def proved(row: VenueOpenInterest, own: Own) -> VenueOpenInterest:
    """The row, with Binance's mark where the venue gave none. Raises `Doubt`."""
    prices = {"mark": row.mark_price, "told worth": row.told_usd / row.base if row.told_usd else None}
    told = {what: price for what, price in prices.items() if price is not None}
    if not told:
        raise Doubt("no_price", "it tells no price to prove by which coin it is")
    for what, price in told.items():
        if abs(price / own.mark_price - 1) > WITHIN:
            raise Doubt("price_off", f"by its {what} a {row.coin} is {price:.8g}, at Binance {own.mark_price:.8g}")
    if row.mark_price is None:
        return msgspec.structs.replace(row, mark_price=own.mark_price, mark_of="binance")
    return row
