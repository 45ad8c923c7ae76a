"""Open interest of one coin over several venues: which rows are in the sum, which are not, and why. Pure.

A sum is made of rows of one side that are young enough; it names its members, because a sum whose members changed is
no open interest that changed. `change` therefore looks only at members that are in both instants.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.model import PAST_S, VenueOpenInterest

STALE_S = 30.0  # since it was received
SKEW_S = 10.0  # how far in the future a stamp may lie, by another machine's clock


class Out(NamedTuple):
    """A row that is not in the sum: ``stale``, ``unknown_sides``, ``both_sides``, or what it was refused for."""

    venue: str
    symbol: str
    why: str


class Aggregate(NamedTuple):
    coin: str
    base: Decimal  # one side, coins
    usd: Decimal  # each member at its own mark
    members: tuple[VenueOpenInterest, ...]
    out: tuple[Out, ...]
    oldest_s: float | None  # age of the oldest member; None: there is none, and nothing is known

    @property
    def venues(self) -> frozenset[str]:
        return frozenset(row.venue for row in self.members)


def age_s(row: VenueOpenInterest, now_ms: int) -> float:
    return max(0.0, (now_ms - row.received_ms) / 1000)


def why_out(row: VenueOpenInterest, now_ms: int) -> str:
    """Why this row cannot be added up; empty when it can."""
    if row.sides != "one":
        return f"{row.sides}_sides"
    if not -SKEW_S <= (now_ms - row.received_ms) / 1000 <= STALE_S:
        return "stale"
    return "" if row.usd is not None else "no_mark"


def aggregate(coin: str, rows: Iterable[VenueOpenInterest], now_ms: int, refused: Iterable[Out] = ()) -> Aggregate:
    """``refused``: what the venue told and nobody believed. It is named beside what is left out here."""
    members, out = [], {(one.venue, one.symbol): one for one in refused}
    for row in rows:
        why = why_out(row, now_ms)
        if not why:
            members.append(row)
        elif why != "stale":  # of what is refused the last good row grows stale: why it was refused says more
            out[row.venue, row.symbol] = Out(row.venue, row.symbol, why)
        else:
            out.setdefault((row.venue, row.symbol), Out(row.venue, row.symbol, why))
    present = {(row.venue, row.symbol) for row in members}
    return Aggregate(
        coin=coin,
        base=sum((row.base for row in members), Decimal(0)),
        usd=sum((row.usd or Decimal(0) for row in members), Decimal(0)),
        members=tuple(members),
        out=tuple(one for key, one in sorted(out.items()) if key not in present),
        oldest_s=max((age_s(row, now_ms) for row in members), default=None),
    )


def shares(found: Aggregate, seconds: int = 0) -> dict[str, Decimal]:
    """Venue -> its part of the sum, now or so long ago; empty where not every member of now is known of then."""
    parts: dict[str, Decimal] = {}
    for row in found.members:
        base = row.past[PAST_S.index(seconds)] if seconds else row.base
        if base is None:
            return {}
        parts[row.venue] = parts.get(row.venue, Decimal(0)) + base
    whole = sum(parts.values(), Decimal(0))
    return {venue: base / whole for venue, base in parts.items()}


def change(now: Aggregate, seconds: int) -> Decimal | None:
    """By which fraction the sum changed in the last 300, 900 or 3,600 s; None where no member was there then.

    Of the members that were there at both instants, and in coins: a price that moves is no change of open interest.
    """
    at = PAST_S.index(seconds)
    known = [(row, then) for row in now.members if (then := row.past[at])]
    if not known:
        return None
    before = sum((then for _, then in known), Decimal(0))
    after = sum((row.base for row, _ in known), Decimal(0))
    return after / before - 1
