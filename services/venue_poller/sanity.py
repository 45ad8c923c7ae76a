"""What of a venue's answer is believed: held against Binance's prices and against what the venue told before. Pure.

Two kinds of doubt. Of one contract: its price is another coin's, it jumped, it stands still while its price moves, its
time went back, it is far above Binance's. Of the whole answer: most prices are off (arrays that slipped), everything
doubled or halved at once (the figure means another thing now), or it is an old one. Whoever is refused keeps the last
good row, which grows stale: nothing here makes a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from statistics import median
from typing import NamedTuple

from services.venue_poller.matching import Binance, Doubt, Own, proved
from shared.model import VenueOpenInterest
from shared.venuelines import Refusal

# Of one contract, and of a whole answer.
WORDS = ("price_off", "no_price", "absurd", "jump", "frozen", "time_back", "astray", "late", "meaning_changed")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ABSURD = 3  # times Binance's own, of a contract nobody knows yet
JUMP, JUMP_LATER = Decimal("1.8"), Decimal(3)  # up or down at once; since a last good one more than an hour ago
SMALL_USD = 100_000  # a contract under it may jump: a listing grows from nothing
MEANING = Decimal("1.5")  # of the median of all contracts of a venue: no market does that between two rounds
ENOUGH = 8  # contracts that a judgement of the whole answer takes
ASTRAY = 0.25  # share of prices that are off
FROZEN_MOVE = Decimal("0.01")
LATE_MS = 30_000


class Known(NamedTuple):
    """The last good row of a contract, and since when its figure has not moved, at what price."""

    row: VenueOpenInterest
    same_ms: int
    same_mark: Decimal


class Judged(NamedTuple):
    good: list[VenueOpenInterest]
    refused: dict[str, Refusal]
    unmatched: int  # contracts of coins that Binance does not poll
    anew: list[VenueOpenInterest]  # believed after a day of doubt: what was before is nothing to compare with


class Judge:
    """The memory of one venue. ``since`` of refusals is taken over from Redis, so that a day may span restarts."""

    def __init__(self, last_good: Iterable[VenueOpenInterest], refused: Mapping[str, Refusal]) -> None:
        self._known = {_key(row): _known(row, None) for row in last_good}
        self._since = _since(refused)

    def judge(self, rows: list[VenueOpenInterest], binance: Binance, now_ms: int) -> Judged:
        matched = [(row, own) for row in rows if (own := binance.of(row.coin)) is not None]
        sound: list[tuple[VenueOpenInterest, Own]] = []
        refused: dict[str, Refusal] = {}
        for row, own in matched:
            try:
                sound.append((proved(row, own), own))
            except Doubt as e:
                refused[row.symbol] = self._refusal(row, e, now_ms)
        whole = self._of_the_whole(matched, sound, refused.values(), now_ms)
        if whole:
            refused, sound = {row.symbol: self._refusal(row, whole, now_ms) for row, _ in matched}, []
        good, anew = [], []
        for row, own in sound:
            try:
                anew += [row] if self._check(row, own, now_ms) else []
                good.append(row)
            except Doubt as e:
                refused[row.symbol] = self._refusal(row, e, now_ms)
        for row in good:
            self._known[_key(row)] = _known(row, self._known.get(_key(row)))
        self._since = {**(self._since if whole else {}), **_since(refused)}  # of an old answer nothing is learnt
        return Judged(good, refused, len(rows) - len(matched), anew)

    def forget(self, rows: Iterable[VenueOpenInterest]) -> None:
        for row in rows:
            self._known.pop(_key(row), None)

    def gone(self, now_ms: int) -> list[VenueOpenInterest]:
        """Last good rows of contracts that were not believed, or not told at all, for a day.

        While a venue counts otherwise than before, they stay: they are what it is held against.
        """
        old = [known.row for known in self._known.values() if now_ms - known.row.received_ms > DAY_MS]
        return [] if any(why == "meaning_changed" for _, why in self._since) else old

    def _of_the_whole(
        self,
        matched: list[tuple[VenueOpenInterest, Own]],
        sound: list[tuple[VenueOpenInterest, Own]],
        refused: Iterable[Refusal],
        now_ms: int,
    ) -> Doubt | None:
        off = sum(one.why == "price_off" for one in refused)
        if off >= ENOUGH and off > ASTRAY * len(matched):
            return Doubt("astray", f"{off} of {len(matched)} prices are off: its rows do not belong to their names")
        newest = max((row.venue_ms for row, _ in matched if row.venue_ms is not None), default=None)
        if newest is not None and now_ms - newest > LATE_MS:
            return Doubt("late", f"its newest stamp is {(now_ms - newest) / 1000:.0f} s old: a stored answer")
        ratios = [row.base / self._known[_key(row)].row.base for row, _ in sound if _key(row) in self._known]
        if len(ratios) < ENOUGH:
            return None
        middle = median(ratios)
        if not 1 / MEANING <= middle <= MEANING:
            return Doubt(
                "meaning_changed", f"{len(ratios)} contracts by x {middle:.2f} at once: it counts otherwise now"
            )
        return None

    def _check(self, row: VenueOpenInterest, own: Own, now_ms: int) -> bool:
        """Raises `Doubt`; true for a contract that is believed because its doubt has lasted a day."""
        known = self._known.get(_key(row))
        if known is None:
            if row.base <= ABSURD * own.base:
                return False
            doubt = Doubt("absurd", f"{row.base:.8g} {row.coin}, over {ABSURD} times Binance's {own.base:.8g}")
        else:
            if row.venue_ms is not None and known.row.venue_ms is not None:
                last_ms = min(known.row.venue_ms, known.row.received_ms)  # one from the future binds nobody
                if row.venue_ms < last_ms:
                    raise Doubt("time_back", f"stamped {(last_ms - row.venue_ms) / 1000:.3f} s before the last")
            _frozen(row, known, now_ms)
            if not _jumped(row, known, now_ms):
                return False
            doubt = Doubt("jump", f"from {known.row.base:.8g} to {row.base:.8g} {row.coin} at once")
        if now_ms - self._since.get((row.symbol, doubt.why), now_ms) < DAY_MS:
            raise doubt
        return True

    def _refusal(self, row: VenueOpenInterest, doubt: Doubt, now_ms: int) -> Refusal:
        return Refusal(row.coin, doubt.why, str(doubt), self._since.get((row.symbol, doubt.why), now_ms))


def _since(refused: Mapping[str, Refusal]) -> dict[tuple[str, str], int]:
    """Symbol and why -> since when."""
    return {(symbol, one.why): one.since for symbol, one in refused.items()}


def _key(row: VenueOpenInterest) -> tuple[str, str]:
    """Figures of one side and of both are never compared, though they come under one name."""
    return row.symbol, row.sides


def _known(row: VenueOpenInterest, before: Known | None) -> Known:
    if before and before.row.base == row.base:
        return Known(row, before.same_ms, before.same_mark)
    return Known(row, row.received_ms, row.mark_price or Decimal(1))


def _frozen(row: VenueOpenInterest, known: Known, now_ms: int) -> None:
    if row.base != known.row.base or now_ms - known.same_ms < HOUR_MS:
        return
    moved = abs((row.mark_price or known.same_mark) / known.same_mark - 1)
    if moved >= FROZEN_MOVE:
        minutes = (now_ms - known.same_ms) / 60_000
        raise Doubt("frozen", f"the same figure for {minutes:.0f} min while its price moved by {moved:.1%}")


def _jumped(row: VenueOpenInterest, known: Known, now_ms: int) -> bool:
    if max(row.usd or 0, known.row.usd or 0) < SMALL_USD:
        return False
    limit = JUMP if now_ms - known.row.received_ms < HOUR_MS else JUMP_LATER
    return not 1 / limit <= row.base / known.row.base <= limit
