"""The last good reading of each member, and what a sweep is recorded as; pure, given the time.

Ages are told by the wall clock, since the readings outlive the process. A stamp as far in the future as it might be old
is as little to be relied on: that clock was set back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from services.oi_poller.sweep import Outcome
from shared.model import MarkPrice, Reading, Sweep

CARRY_MS = 600_000  # a good reading is carried through failures for this long


class Readings:
    def __init__(self, mark_max_age_s: float) -> None:
        self._mark_max_age_ms = mark_max_age_s * 1000
        self._last: dict[str, Reading] = {}

    def recall(self, last: Mapping[str, Reading]) -> None:
        self._last = dict(last)

    def forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._last.pop(symbol, None)

    def stalest_first(self, symbols: Iterable[str]) -> list[str]:
        """The order to ask in: where a sweep is cut short, it is not always the same ones that fail."""
        return sorted(symbols, key=self._received_ms)

    def record(self, outcome: Outcome, marks: Mapping[str, MarkPrice], started_ms: int, now_ms: int) -> Sweep:
        """Every reading gets the price of now, a carried one too; a price too old to be published is none."""
        prices = {
            symbol: mark.mark_price
            for symbol, mark in marks.items()
            if abs(now_ms - mark.received_ms) <= self._mark_max_age_ms
        }
        fresh = {symbol: Reading(oi, prices.get(symbol)) for symbol, oi in outcome.fresh.items()}
        self._last.update(fresh)
        carried = {
            symbol: Reading(self._last[symbol].open_interest, prices.get(symbol))
            for symbol in outcome.failures
            if symbol in self._last and abs(now_ms - self._received_ms(symbol)) <= CARRY_MS
        }
        failures = {symbol: reason.value for symbol, reason in outcome.failures.items()}
        return Sweep(f"{started_ms}-{secrets.token_hex(3)}", started_ms, now_ms, fresh | carried, failures)

    def _received_ms(self, symbol: str) -> int:
        last = self._last.get(symbol)
        return 0 if last is None else last.open_interest.received_ms
