"""What of a sweep is kept, and under which series; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
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


class Stamp(NamedTuple):
    """What tells one clock from the other: by ours, and by the exchange's, which stamps the last change. Unix ms."""

    received_ms: int
    changed_ms: int


class ExchangeClock:
    """Whether the clock that stamps what is received is far from the exchange's.

    Behind: half of the contracts are yet to change, which none is when it is received. Ahead: each of them changed long
    ago. One may be quiet for long, but all only while trading is halted: then none has changed since it was last seen,
    which proves no clock wrong, nor one right that a change has proved wrong.
    Whether trading is halted, a first look and one after a long time cannot tell: they cost what they found.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Stamp] = {}
        self._proved = False  # wrong, by the last look that knew one before

    def judge(self, looked: Mapping[str, Stamp]) -> WireError | None:
        """`wrong_clock` of this look, by symbol."""
        if not looked:
            return None
        ages_ms = sorted(stamp.received_ms - stamp.changed_ms for stamp in looked.values())
        youngest_ms, middle_ms = ages_ms[0], ages_ms[len(ages_ms) // 2]
        known = {symbol: before for symbol, before in self._seen.items() if symbol in looked}
        lately = {s: b for s, b in known.items() if 0 < looked[s].received_ms - b.received_ms <= FAR_MS}
        halted = bool(lately) and all(looked[s].changed_ms == b.changed_ms for s, b in lately.items())
        ahead = youngest_ms > FAR_MS and (self._proved or not halted)
        behind = middle_ms < -FAR_MS
        if lately:
            self._proved = ahead or behind
        self._seen |= looked
        if not (ahead or behind):
            return None
        minutes = (youngest_ms if ahead else middle_ms) / MINUTE_MS
        return WireError("wrong_clock", f"ours is {minutes:+.0f} min from the exchange's")


def stamps_of(sweep: Sweep) -> dict[str, Stamp]:
    """Of what is news in it."""
    news = {symbol: one.open_interest for symbol, one in sweep.readings.items() if symbol not in sweep.failures}
    return {symbol: Stamp(oi.received_ms, oi.changed_ms) for symbol, oi in news.items()}


def readings_of(sweep: Sweep, listings: Listings) -> tuple[list[Reading], set[str]]:
    """Each reading that is news, and the symbols whose series is not known. What is carried is not news."""
    found, unknown = list[Reading](), set[str]()
    for symbol, reading in sweep.readings.items():
        if symbol in sweep.failures:
            continue
        series = listings.series(symbol, reading.open_interest.received_ms)
        if series is None:
            unknown.add(symbol)
        else:
            found.append(Reading(series, row_of(reading)))
    return found, unknown


def row_of(measured: Measured) -> Row:
    oi, mark = measured.open_interest, measured.mark_price
    return Row(oi.received_ms, plain(oi.open_interest), None if mark is None else plain(mark))
