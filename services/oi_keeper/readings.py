"""What of a sweep is kept, and under which series; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from services.oi_keeper.writer import Reading
from shared.errors import WireError
from shared.history.block import Row
from shared.history.file import MINUTE_MS, Series
from shared.model import Member, Sweep
from shared.model import Reading as Measured
from shared.numbers import plain

FAR_MS = 2_700_000  # nearer than the next time zone, longer than all contracts of an open market stand still


class Listings:
    """When each symbol was listed, by its series in the file and by the universe of now."""

    def __init__(self, known: Iterable[Series]) -> None:
        self._onboard_ms: dict[str, set[int]] = defaultdict(set)
        for series in known:
            self._onboard_ms[series.symbol].add(series.onboard_ms)

    def learn(self, members: Mapping[str, Member]) -> None:
        for symbol, member in members.items():
            self._onboard_ms[symbol].add(member.onboard_ms)

    def series(self, symbol: str, received_ms: int) -> Series | None:
        """The contract that had this name at that instant: what lies before a listing is of a dead namesake."""
        began = [ms for ms in self._onboard_ms.get(symbol, ()) if ms <= received_ms]
        return Series(symbol, max(began)) if began else None


def wrong_clock(stamps: Iterable[tuple[int, int]], *, still: bool = False) -> WireError | None:
    """That the clock of who received these is far from the exchange's. Of each: received, last changed there, Unix ms.

    A contract may be quiet for long, and none changes after it was received: a clock is ahead where every one of them
    changed long ago, unless all were watched to stand ``still``, and behind where half of them are yet to change.
    """
    off_ms = sorted(received_ms - changed_ms for received_ms, changed_ms in stamps)
    if not off_ms:
        return None
    least_ms, middle_ms = off_ms[0], off_ms[len(off_ms) // 2]
    if (least_ms <= FAR_MS or still) and middle_ms >= -FAR_MS:
        return None
    minutes = (least_ms if least_ms > 0 else middle_ms) / MINUTE_MS
    return WireError("wrong_clock", f"ours is {minutes:+.0f} min from the exchange's")


class Stamp(NamedTuple):
    """What tells one clock from the other: by ours, and by the exchange's, which stamps the last change."""

    symbol: str
    received_ms: int
    changed_ms: int


class ExchangeClock:
    """Remembers the stamps of before: no clock is wrong because all trading is halted, or the one contract is quiet.

    What was seen lately and has not changed since may be as old as it says, unless a change proved the clock wrong
    before. The first look cannot tell, and costs what it found.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Stamp] = {}
        self._proved = False  # wrong, by a change that is younger than the look before

    def judge(self, stamps: Iterable[Stamp]) -> WireError | None:
        """`wrong_clock` of this look."""
        looked = {stamp.symbol: stamp for stamp in stamps}
        pairs = [(self._seen[symbol], now) for symbol, now in looked.items() if symbol in self._seen]
        unchanged = [now.changed_ms == before.changed_ms for before, now in pairs if _lately(before, now)]
        self._seen |= looked
        still = bool(unchanged) and all(unchanged) and not self._proved
        off = wrong_clock(((stamp.received_ms, stamp.changed_ms) for stamp in looked.values()), still=still)
        if unchanged:
            self._proved = off is not None
        return off


def _lately(before: Stamp, now: Stamp) -> bool:
    return 0 < now.received_ms - before.received_ms <= FAR_MS


def stamps_of(sweep: Sweep) -> Iterator[Stamp]:
    """Of what is news in it."""
    for symbol, reading in sweep.readings.items():
        if symbol not in sweep.failures:
            oi = reading.open_interest
            yield Stamp(symbol, oi.received_ms, oi.changed_ms)


def readings_of(sweep: Sweep, listings: Listings) -> Iterator[Reading | str]:
    """Each reading that is news, or the symbol alone where its series is not known. What is carried is not news."""
    for symbol, reading in sweep.readings.items():
        if symbol in sweep.failures:
            continue
        series = listings.series(symbol, reading.open_interest.received_ms)
        yield symbol if series is None else Reading(series, row_of(reading))


def row_of(measured: Measured) -> Row:
    oi, mark = measured.open_interest, measured.mark_price
    return Row(oi.received_ms, plain(oi.open_interest), None if mark is None else plain(mark))
