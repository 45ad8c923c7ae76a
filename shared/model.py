"""Facts about one contract at one instant: no I/O, no clock, no settings.

Prices and quantities are `Decimal`; instants are Unix milliseconds (``*_ms``). ``event_ms`` is stamped by the venue,
``received_ms`` by us. ``gc=False``: thousands of them come and go each second, and none can be part of a cycle.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Literal

import msgspec

from shared.numbers import Instant


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    mark_price: Decimal
    index_price: Decimal | None
    funding_rate: Decimal | None  # fraction per interval; None: a delivery contract, which pays none
    next_funding_ms: int  # 0 on delivery and delisted contracts
    event_ms: int
    received_ms: int


class QuoteVolume(msgspec.Struct, frozen=True, gc=False):
    """Rolling 24 h volume in the quote asset."""

    symbol: str
    quote_volume: Decimal
    event_ms: int


class OpenInterest(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    open_interest: Decimal  # contracts, one contract being one unit of the base asset; one side
    changed_ms: int  # the venue's stamp of the last change: minutes old on a quiet contract, and still right
    received_ms: int  # freshness is judged by this one


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Open interest as a sweep carries it, with the mark price of that moment (None: there was none)."""

    open_interest: OpenInterest
    mark_price: Decimal | None


class Sweep(msgspec.Struct, frozen=True):
    """One pass of open-interest requests over the universe.

    The universe is the union of the keys of ``readings`` and ``failures``. A symbol in both failed this time and
    carries its last good reading, recognisable by its age.
    """

    sweep_id: str
    started_ms: int
    ended_ms: int
    readings: dict[str, Reading]
    failures: dict[str, str]

    def universe(self) -> set[str]:
        return self.readings.keys() | self.failures.keys()


class Member(msgspec.Struct, frozen=True):
    """A symbol of the universe. ``onboard_ms`` tells a relisted ticker from the one that died."""

    symbol: str
    quote_volume: Decimal
    entered_ms: int
    last_seen_ms: int
    onboard_ms: int


class Served(msgspec.Struct, frozen=True, rename={"since_ms": "since"}):
    """What the backend was last seen to serve for a symbol, since when, and the audit's word for it."""

    usd: float | None
    since_ms: Instant
    verdict: str


Sides = Literal["one", "both", "unknown"]  # whose positions a figure counts: one is a long and its short as one
Counts = Literal["base", "contracts", "usd"]  # what a figure is a number of
MarkOf = Literal["venue", "binance"]


class VenueOpenInterest(msgspec.Struct, frozen=True, gc=False):
    """Open interest of one perpetual at another venue: as told there, and brought to one convention.

    ``base`` is one side's only while ``sides`` is ``one``: a row of both or of unknown sides is never added up.
    """

    venue: str
    symbol: str  # the venue's own name of the contract
    coin: str  # of which `base` counts single units: PEPE, where the contract says 1000PEPE or kPEPE
    multiplier: int  # coins in one of what the venue calls its base
    told: Decimal  # the figure itself
    unit: Counts
    base: Decimal  # coins
    sides: Sides
    mark_price: Decimal | None  # of one coin; None: the venue tells none here
    mark_of: MarkOf  # who said so: binance where the venue is silent
    funding_rate: Decimal | None  # fraction per interval, which differs from venue to venue; None: not told here
    venue_ms: int | None  # the venue's own stamp; None: it sends none
    received_ms: int
    told_usd: Decimal | None = None  # its worth as the venue tells it: proves which coin it is, and is not stored
    past: tuple[Decimal | None, Decimal | None, Decimal | None] = (None, None, None)  # `base` at each of PAST_S before

    @property
    def usd(self) -> Decimal | None:
        return None if self.mark_price is None else notional(self.base, self.mark_price)


PAST_S = (300, 900, 3600)
LONGEST_SYMBOL = 40


@lru_cache(maxsize=4096)  # the same thousand names come every second
def valid_symbol(name: str) -> str:
    """The name itself, or ValueError: Chinese and digits are fine, what would forge a key or a log line is not."""
    if not name or len(name) > LONGEST_SYMBOL or not name.isprintable() or " " in name:
        raise ValueError(f"not a symbol: {name!r:.60}")
    return name


def backend_key(symbol: str) -> str:
    """The backend's own spelling of a symbol: keys of ``oi:served`` and of all that it serves."""
    return symbol.replace("-", "").replace("_", "").upper()


def notional(open_interest: Decimal, mark_price: Decimal) -> Decimal:
    """Value of the contracts outstanding, in the quote asset."""
    return open_interest * mark_price
