"""Which symbols are polled: TRADING contracts of the chosen kinds, liquid, with hysteresis; pure, no I/O, no clock.

A symbol enters at the enter threshold and leaves under the exit threshold. One whose volume is not known keeps its
membership and does not enter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.oi_poller.wire import Listing
from shared.model import Member, QuoteVolume

TRADING = "TRADING"


@dataclass(frozen=True)
class Rules:
    contract_types: frozenset[str]
    quote_assets: frozenset[str]
    enter_quote: float
    exit_quote: float

    def covers(self, listing: Listing) -> bool:
        kind = listing.contract_type in self.contract_types and listing.quote_asset in self.quote_assets
        return kind and listing.status == TRADING


class Change(NamedTuple):
    """A relisted ticker is in both: the one that died left, the new one entered."""

    entered: list[str]
    left: list[str]


class Universe:
    """``members`` are polled now. ``departed`` left since the last write: their stored rows must go."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.members: dict[str, Member] = {}
        self.departed: set[str] = set()
        self.delisted: set[str] = set()  # of all that left, those the exchange itself no longer lists
        self._listed: dict[str, Listing] | None = None  # those the rules cover; None: not known yet

    def believe(self, listings: Mapping[str, Listing]) -> str | None:
        """Take the exchange's symbol list; returns why not when it is absurd, and then nothing changes."""
        trading = {symbol for symbol, listing in listings.items() if listing.status == TRADING}
        if not trading:
            return f"none of {len(listings)} listed symbols is TRADING"
        known = self.members.keys() & trading
        if 2 * len(known) < len(self.members):
            return f"only {len(known)} of {len(self.members)} known symbols are still TRADING"
        self._listed = {symbol: listing for symbol, listing in listings.items() if self._rules.covers(listing)}
        return None

    def look(self, volumes: Mapping[str, QuoteVolume], now_ms: int) -> Change:
        """Settle who is in, by the newest volumes. Before the symbol list is known, all stays as it is."""
        if self._listed is None:
            return Change([], [])
        before, self.members = self.members, {}
        entered = []
        for symbol, listing in self._listed.items():
            member = _same(before.get(symbol), listing)
            chosen = self._settle(member, listing, volumes.get(symbol), now_ms)
            if chosen is not None:
                self.members[symbol] = chosen
                if member is None:
                    entered.append(symbol)
        left = [symbol for symbol, member in before.items() if not _stayed(member, self.members.get(symbol))]
        self.departed = (self.departed - set(entered)) | set(left)
        self.delisted = (self.delisted | self.departed) - self._listed.keys()
        return Change(entered, left)

    def drop(self, symbol: str) -> None:
        """The exchange says it does not trade: out at once, until a newer symbol list says otherwise."""
        self.members.pop(symbol, None)
        self.departed.add(symbol)
        if self._listed is not None:
            self._listed.pop(symbol, None)

    def _settle(
        self, member: Member | None, listing: Listing, volume: QuoteVolume | None, now_ms: int
    ) -> Member | None:
        known = volume is not None and volume.event_ms >= listing.onboard_date  # older: of the dead namesake
        quote = volume.quote_volume if volume is not None and known else None
        if member is not None:
            if quote is not None and quote < self._rules.exit_quote:
                return None
            kept = member.quote_volume if quote is None else quote
            return Member(listing.symbol, kept, member.entered_ms, now_ms, listing.onboard_date)
        if quote is None or quote < self._rules.enter_quote:
            return None
        return Member(listing.symbol, quote, now_ms, now_ms, listing.onboard_date)


def _same(member: Member | None, listing: Listing) -> Member | None:
    return member if member is not None and member.onboard_ms == listing.onboard_date else None


def _stayed(before: Member, now: Member | None) -> bool:
    return now is not None and now.onboard_ms == before.onboard_ms
