"""What of a sweep is kept, and under which series; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from services.oi_keeper.writer import Reading
from shared.history.block import Row
from shared.history.file import Series
from shared.model import Member, Sweep
from shared.numbers import plain


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


def readings_of(sweep: Sweep, listings: Listings) -> Iterator[Reading | str]:
    """Each reading that is news, or the symbol alone where its series is not known. What is carried is not news."""
    for symbol, reading in sweep.readings.items():
        if symbol in sweep.failures:
            continue
        oi = reading.open_interest
        series = listings.series(symbol, oi.received_ms)
        if series is None:
            yield symbol
        else:
            mark = None if reading.mark_price is None else plain(reading.mark_price)
            yield Reading(series, Row(oi.received_ms, plain(oi.open_interest), mark))
