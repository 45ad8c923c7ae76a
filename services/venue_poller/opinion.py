"""A second opinion on Binance's open interest: where it goes another way than at every other venue. Pure.

Only how much it changed is compared, so it does not matter which sides a venue counts. Nothing is corrected by it: a
reading that stands still while three venues move is said, with the evidence, and stays what the exchange told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from services.venue_poller.past import Past
from shared.model import VenueOpenInterest
from shared.venuelines import BINANCE

LOOK_BACK_S = 600
LEAST_VENUES = 3
BEYOND = Decimal("0.02")  # outside of what all the others did, by more than this
LEAST_USD = 1_000_000  # at a venue: smaller ones move by a trade
FRESH_MS = 30_000
NAMED = 3


class Dissent(NamedTuple):
    coin: str
    own: Decimal  # change in `LOOK_BACK_S`, as a fraction
    others: Mapping[str, Decimal]

    def __str__(self) -> str:
        told = ", ".join(f"{venue} {change:+.1%}" for venue, change in sorted(self.others.items()))
        return f"{self.coin} in {LOOK_BACK_S // 60} min: binance {self.own:+.1%}, {told}"


def changes(rows: Iterable[VenueOpenInterest], past: Past, now_ms: int) -> dict[str, Decimal]:
    """Coin -> how much its contracts at one venue changed, as far as they were there then and are fresh now."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for row in rows:
        then = past.before(row, now_ms, LOOK_BACK_S)
        if then is None or now_ms - row.received_ms > FRESH_MS or (row.usd or 0) < LEAST_USD:
            continue
        before, now = sums.get(row.coin, (Decimal(0), Decimal(0)))
        sums[row.coin] = before + then, now + row.base
    return {coin: now / before - 1 for coin, (before, now) in sums.items()}


def dissents(by_venue: Mapping[str, Mapping[str, Decimal]]) -> list[Dissent]:
    """Coins in which Binance left the corridor of at least `LEAST_VENUES` others, the farthest first."""
    found = []
    for coin, own in by_venue.get(BINANCE, {}).items():
        others = {venue: told[coin] for venue, told in by_venue.items() if venue != BINANCE and coin in told}
        if len(others) >= LEAST_VENUES and _outside(own, others.values()) > BEYOND:
            found.append(Dissent(coin, own, others))
    return sorted(found, key=lambda one: -_outside(one.own, one.others.values()))


def _outside(own: Decimal, others: Iterable[Decimal]) -> Decimal:
    known = list(others)
    return max(min(known) - own, own - max(known))


def said(found: list[Dissent]) -> str:
    """One line; empty where all agree."""
    more = f"; and {len(found) - NAMED} more coins" if len(found) > NAMED else ""
    return "; ".join(map(str, found[:NAMED])) + more
