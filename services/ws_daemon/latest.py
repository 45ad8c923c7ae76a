"""The one merged state of all sources: per symbol the newest fact, and what Redis has not been told yet.

Pure but for its own memory. Newest event time wins, whichever connection or endpoint brought it; a frame never
replaces the others. Memory is bounded: by what the exchange lists, and by a ceiling if something makes symbols up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.codec import MarkText
from shared.errors import WireError
from shared.model import QuoteVolume
from shared.venues.binance import frames
from shared.venues.binance.frames import Row, Rows

GONE_MS = 10 * 60 * 1000  # a symbol that left the stream for this long leaves Redis
GAP_MS = 30 * 1000  # a feed that was away for this long has to prove anew who is gone
STUCK_MS = 10 * 1000  # a newest event time that nothing has matched for this long was wrong: the stream's word counts
LATE_MS = 5 * 1000  # a mark that is so far behind the newest, or so long a repetition of it, shows no feed to be alive
MOST_SYMBOLS = 20_000  # twenty times what the exchange lists


@dataclass(slots=True)
class Merged:
    """What one frame brought. ``marks`` are the symbols whose mark rows show the feed to be alive: new or, within
    `LATE_MS`, repeated or out of order.

    ``volumes`` counts the volume rows, ``refused`` what could not be used, late mark rows too; ``why`` is the first
    cause. Both stay where ``bad`` was told already.
    """

    marks: set[str] = field(default_factory=set)
    volumes: int = 0
    newest_event_ms: int = 0
    new: int = 0
    repeated: int = 0
    out_of_order: int = 0
    coin_m: int = 0
    shutdown: bool = False
    refused: int = 0
    why: str = ""
    bad: list[WireError] = field(default_factory=list)


class Changes(NamedTuple):
    """What to write, and how many symbols Redis holds at least once that is written."""

    marks: dict[str, MarkText]
    volumes: dict[str, QuoteVolume]
    gone: set[str]
    marks_held: int
    volumes_held: int


class Latest:
    def __init__(self) -> None:
        self.marks: dict[str, MarkText] = {}
        self.volumes: dict[str, QuoteVolume] = {}
        self._new_marks: dict[str, MarkText] = {}
        self._new_volumes: dict[str, QuoteVolume] = {}
        self._gone: set[str] = set()
        self._behind: dict[str, int] = {}  # symbol -> newest event time that came since the known one, and is older
        self._alive_since_ms = 0
        self._last_marks_ms = 0

    def recall(self, marks: Mapping[str, MarkText], volumes: Mapping[str, QuoteVolume]) -> None:
        """Take what Redis still holds from before a restart, where nothing newer has come meanwhile."""
        self.marks = {**marks, **self.marks}
        self.volumes = {**volumes, **self.volumes}

    def merge(self, frame: Rows, received_ms: int) -> Merged:
        merged = Merged(bad=list(frame.bad))
        for row in frame.rows:
            try:
                if row.st == frames.COIN_M:
                    merged.coin_m += 1
                elif row.e == frames.MARK:
                    self._take_mark(row, received_ms, merged)
                elif row.e == frames.VOLUME:
                    self._take_volume(row)
                    merged.volumes += 1
                elif row.e == frames.SHUTDOWN:
                    merged.shutdown = True
                else:
                    raise WireError("unknown_event", f"{row.e:.40} {row.s:.40}")
            except WireError as e:
                merged.bad.append(e)
        if merged.bad:
            merged.refused, merged.why = merged.refused + len(merged.bad), str(merged.bad[0])
        if merged.marks:
            if received_ms - self._last_marks_ms > GAP_MS:
                self._alive_since_ms = received_ms
            self._last_marks_ms = received_ms
        return merged

    def _take_mark(self, row: Row, received_ms: int, merged: Merged) -> None:
        symbol = row.s
        known = self.marks.get(symbol)
        if known is None and len(self.marks) >= MOST_SYMBOLS:
            raise WireError("too_many_symbols", symbol[:40])
        late_ms = 0
        if known is not None and known.event_ms == row.E:
            merged.repeated += 1
            late_ms = received_ms - known.received_ms
        elif known is None or known.event_ms < row.E or self._was_wrong(known, row, received_ms):
            self.marks[symbol] = self._new_marks[symbol] = frames.mark_price(row, received_ms, merged.bad)
            self._behind.pop(symbol, None)
            merged.new += 1
            merged.newest_event_ms = max(merged.newest_event_ms, row.E)
        else:
            merged.out_of_order += 1
            late_ms = known.event_ms - row.E
        if late_ms <= LATE_MS:
            merged.marks.add(symbol)
        else:
            merged.refused += 1
            merged.why = merged.why or f"{symbol:.40} is {late_ms // 1000} s behind"

    def _was_wrong(self, known: MarkText, row: Row, received_ms: int) -> bool:
        """Whether the known event time was: nothing has matched it for `STUCK_MS`, while older ones go on.

        A feed that repeats an old frame does not go on.
        """
        behind_ms = self._behind.get(row.s, row.E)
        self._behind[row.s] = max(behind_ms, row.E)
        return behind_ms < row.E and received_ms - known.received_ms > STUCK_MS

    def _take_volume(self, row: Row) -> None:
        """The newest counts; where one is older by more than any two sources are apart, what is known was wrong."""
        known = self.volumes.get(row.s)
        if known is None and len(self.volumes) >= MOST_SYMBOLS:
            raise WireError("too_many_symbols", row.s[:40])
        if known is None or known.event_ms < row.E or known.event_ms - row.E > STUCK_MS:
            self.volumes[row.s] = self._new_volumes[row.s] = frames.quote_volume(row)

    def forget_gone(self, now_ms: int) -> set[str]:
        """Drop symbols the stream has not named for `GONE_MS`, once it has been up that long without a gap."""
        if now_ms - self._last_marks_ms > GAP_MS or now_ms - self._alive_since_ms < GONE_MS:
            return set()
        gone = {s for s, mark in self.marks.items() if now_ms - mark.received_ms > GONE_MS}
        for symbol in gone:
            del self.marks[symbol]
            self._new_marks.pop(symbol, None)
            self._behind.pop(symbol, None)
            self.volumes.pop(symbol, None)
            self._new_volumes.pop(symbol, None)
        self._gone |= gone
        return gone

    def take_changes(self) -> Changes:
        """What is new since the last call; the caller writes it, or calls `all_changed` when it could not."""
        gone = self._gone - self.marks.keys()
        changes = Changes(self._new_marks, self._new_volumes, gone, len(self.marks), len(self.volumes))
        self._new_marks, self._new_volumes, self._gone = {}, {}, set()
        return changes

    def all_changed(self, gone: set[str]) -> None:
        """Redis missed a write or came back empty: the next write carries everything."""
        self._new_marks = dict(self.marks)
        self._new_volumes = dict(self.volumes)
        self._gone |= gone
