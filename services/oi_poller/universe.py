"""Which symbols are polled: TRADING contracts of the chosen kinds, liquid, with hysteresis; pure, no I/O, no clock.

A symbol enters at the enter threshold and leaves under the exit threshold. One whose volume is not known keeps its
membership and does not enter. What would take many members away at once needs a second witness, or time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from shared.model import Member, QuoteVolume
from shared.venues.binance.bodies import Listing

TRADING = "TRADING"
KNOWN_TYPES = ("PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "CURRENT_MONTH", "NEXT_MONTH")
ENDING_TYPES = ("PERPETUAL_DELIVERING", "CURRENT_QUARTER DELIVERING", "NEXT_QUARTER DELIVERING", "")
LACKING = 50  # of so many contracts that could be members one may be without a volume
WHOLE_WITHIN_S = 60.0  # how long the first universe waits for them, from when the first are there
HELD_S = 300.0  # how long many members whose volumes fell at once stay all the same
FEW = 3  # so many may leave at once, however small the universe is


@dataclass(frozen=True)
class Rules:
    contract_types: frozenset[str]
    quote_assets: frozenset[str]
    enter_quote: float
    exit_quote: float

    def covers(self, listing: Listing) -> bool:
        return listing.contract_type in self.contract_types and self.could_cover(listing)

    def could_cover(self, listing: Listing) -> bool:
        """Whether only its contract type decides."""
        return listing.quote_asset in self.quote_assets and listing.status == TRADING


class Change(NamedTuple):
    """A relisted ticker is in both: the one that died left, the new one entered."""

    entered: list[str]
    left: list[str]
    held: list[str]  # would have left for their volume, and are too many to go at once
    unknown: int = 0  # volumes that the first universe lacks
    waits: bool = False  # for them


@dataclass
class Kinds:
    """What the last symbol list says of contract types."""

    absent: frozenset[str] = frozenset()  # chosen, and no contract has it
    renamed: dict[str, list[str]] = field(default_factory=dict)  # a type never heard of -> the members that have it now
    not_polled: Counter[str] = field(default_factory=Counter)  # trading in the chosen quote assets, and not chosen


class Universe:
    """``members`` are polled now. ``departed`` left since the last write: their stored rows must go."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.members: dict[str, Member] = {}
        self.departed: set[str] = set()
        self.delisted: set[str] = set()  # of all that left, those the exchange itself no longer lists
        self.kinds = Kinds()
        self._listed: dict[str, Listing] | None = None  # those that may be members; None: not known yet
        self._dropped: dict[str, Member] = {}  # since the last symbol list
        self._returning: dict[str, Member] = {}  # dropped before the newest symbol list, which decides anew
        self._doubted: Set[str] = frozenset()  # gone by openInterest, and too many to be believed
        self._begun = False  # it has had members
        self._volumes_since_s: float | None = None
        self._falling_since_s: float | None = None

    def believe(self, listings: Mapping[str, Listing]) -> str | None:
        """Take the exchange's symbol list; returns why not when it is absurd, and then nothing changes.

        A member whose contract type became one that nobody has heard of stays: the contract is the same, and it trades.
        """
        trading = {symbol for symbol, listing in listings.items() if listing.status == TRADING}
        explained = self.members.keys() & (trading | self._doubted)
        if not trading and not self._doubted:
            return f"none of {len(listings)} listed symbols is TRADING"
        if 2 * len(explained) < len(self.members):
            return f"only {len(explained)} of {len(self.members)} known symbols are still TRADING"
        self._returning, self._dropped = self._returning | self._dropped, {}
        known = self.members.keys() | self._returning.keys()
        self.kinds = Kinds(self._rules.contract_types - {listing.contract_type for listing in listings.values()})
        self._listed = {}
        for symbol, listing in listings.items():
            if self._rules.covers(listing):
                self._listed[symbol] = listing
            elif self._rules.could_cover(listing):
                kind = listing.contract_type
                if symbol in known and kind not in KNOWN_TYPES + ENDING_TYPES:
                    self._listed[symbol] = listing
                    self.kinds.renamed.setdefault(kind, []).append(symbol)
                else:
                    self.kinds.not_polled[kind] += 1
        return None

    def look(self, volumes: Mapping[str, QuoteVolume], now_ms: int, uptime_s: float) -> Change:
        """Settle who is in, by the newest volumes. Before the symbol list is known, all stays as it is.

        ``now_ms`` is the wall clock, for stamps; ``uptime_s`` is monotonic, for waiting.
        """
        if self._listed is None:
            return Change([], [], [])
        self._begun = self._begun or bool(self.members)
        unknown = 0 if self._begun else len(self._listed) - len(self._listed.keys() & volumes.keys())
        lacks = LACKING * unknown > len(self._listed)
        if lacks and self._must_wait(unknown < len(self._listed), uptime_s):
            return Change([], [], [], unknown, waits=True)
        before, self.members = self.members, {}
        entered, fallen = [], []
        for symbol, listing in self._listed.items():
            member = _same(before.get(symbol) or self._returning.get(symbol), listing.onboard_date)
            chosen = self._settle(member, listing, volumes.get(symbol), now_ms)
            if chosen is not None:
                self.members[symbol] = chosen
                if _same(before.get(symbol), listing.onboard_date) is None:
                    entered.append(symbol)
            elif member is not None:
                fallen.append(member)
        held = fallen if self._are_held(len(fallen), len(before), uptime_s) else []
        self.members |= {member.symbol: replace(member, last_seen_ms=now_ms) for member in held}
        self._returning = {}
        left = [one.symbol for one in before.values() if _same(self.members.get(one.symbol), one.onboard_ms) is None]
        self.departed = (self.departed - set(entered)) | set(left)
        self.delisted = (self.delisted | self.departed) - self._listed.keys()
        return Change(entered, left, [member.symbol for member in held], unknown if lacks and entered else 0)

    def drop(self, symbols: Set[str]) -> bool:
        """openInterest says that these do not trade: out at once, until a newer symbol list says otherwise.

        False, and nothing changes, where they are too many to be believed before the symbol list says so too. Call it
        after each sweep, without symbols as well.
        """
        self._doubted = symbols if len(self._dropped.keys() | symbols) > _few(len(self.members)) else frozenset()
        if self._doubted:
            return False
        for symbol in symbols & self.members.keys():
            self._dropped[symbol] = self.members.pop(symbol)
            self.departed.add(symbol)
            self.delisted.add(symbol)
            if self._listed is not None:
                self._listed.pop(symbol, None)
        return True

    def _must_wait(self, some_known: bool, uptime_s: float) -> bool:
        """Whether the first universe waits for volumes: a part of them would make a part of it."""
        if self._volumes_since_s is None and some_known:
            self._volumes_since_s = uptime_s
        return self._volumes_since_s is not None and uptime_s - self._volumes_since_s < WHOLE_WITHIN_S

    def _are_held(self, fallen: int, members: int, uptime_s: float) -> bool:
        if fallen <= _few(members):
            self._falling_since_s = None
            return False
        if self._falling_since_s is None:
            self._falling_since_s = uptime_s
        return uptime_s - self._falling_since_s < HELD_S

    def _settle(
        self, member: Member | None, listing: Listing, volume: QuoteVolume | None, now_ms: int
    ) -> Member | None:
        quote = None
        if volume is not None and volume.event_ms >= listing.onboard_date:  # older: of the dead namesake
            quote = volume.quote_volume
        if member is not None:
            if quote is not None and quote < self._rules.exit_quote:
                return None
            kept = member.quote_volume if quote is None else quote
            return replace(member, quote_volume=kept, last_seen_ms=now_ms)
        if quote is None or quote < self._rules.enter_quote:
            return None
        return Member(listing.symbol, quote, now_ms, now_ms, listing.onboard_date)


def _few(members: int) -> int:
    """How many of so many may leave at once without a second witness: a tenth."""
    return max(FEW, members // 10)


def _same(member: Member | None, onboard_ms: int) -> Member | None:
    """The member where it is the contract listed then, and no namesake."""
    return member if member is not None and member.onboard_ms == onboard_ms else None
