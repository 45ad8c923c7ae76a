"""What can go wrong at a venue. Each is asked for by name, for one venue, for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FAULTS = {
    "doubled": "the figure counts both sides from now on, under the same name",
    "unit_swap": "the figure is told in another unit: dollars in place of coins, contracts in place of coins",
    "dead": "one symbol tells NaN",
    "frozen": "one symbol tells the same figure for ever",
    "demo": "the figures of demo trading: a multiple of what there is",
    "one_demo": "the same of one symbol",
    "no_single": "Bybit: the field of one side is missing",
    "no_both": "Bybit: the field of both sides is missing",
    "contradiction": "Bybit: the field of one side holds that of both",
    "delisted": "one symbol is delisted: it stays, with 0",
    "shift": "the figures slip by one row against the names (Hyperliquid: the arrays do)",
    "late": "an answer of a minute ago, over and over",
    "ahead": "its stamps lie an hour ahead",
    "forbidden": "403 of a firewall",
    "limited": "429 with Retry-After",
    "too_many": "the same in the venue's own words: of some with status 200, of none with Retry-After",
    "html": "HTML with status 200",
    "empty": "an answer that holds no row",
    "cut": "half an answer",
    "error": "500",
}
FACTORS = {"doubled": 2.0, "demo": 34.0}


@dataclass
class Fault:
    name: str
    symbol: str = ""  # of faults of one symbol; empty: the venue's largest
    until_ms: float = float("inf")
    began_ms: int = 0


@dataclass
class Faults:
    """Those in force, by venue."""

    active: dict[str, list[Fault]] = field(default_factory=dict)

    def add(self, venue: str, fault: Fault) -> None:
        if fault.name not in FAULTS:
            raise ValueError(f"{fault.name!r} is not one of {', '.join(FAULTS)}")
        self.active.setdefault(venue, []).append(fault)

    def clear(self, venue: str = "") -> None:
        for name in [venue] if venue else list(self.active):
            self.active.pop(name, None)

    def of(self, venue: str, now_ms: int) -> dict[str, Fault]:
        """Name -> the fault in force; those whose time is over go."""
        left = [fault for fault in self.active.get(venue, []) if now_ms < fault.until_ms]
        self.active[venue] = left
        return {fault.name: fault for fault in left}

    def told(self) -> dict[str, Any]:
        return {venue: [fault.name for fault in faults] for venue, faults in self.active.items() if faults}
