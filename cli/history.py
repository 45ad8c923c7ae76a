"""The last hour of open interest, one sample a minute: the ground of deltas and sparklines.

Loaded once in one round trip, then fed with new sweeps. Where there is no sample there is no answer, never a zero.
"""

from __future__ import annotations

from collections.abc import Iterable

from redis.asyncio import Redis

from shared.model import Sweep
from shared.store import SWEEPS, redis_faults
from shared.sweeplog import sweep_entry

MINUTE_MS = 60_000
KEPT_MS = 62 * MINUTE_MS
APART_MS = 50_000  # least between two samples kept; the newest sweep is always there besides
NEAR_MS = 60_000  # how far from the wished instant a baseline may lie
BLOCKS = "▁▂▃▄▅▆▇█"


class History:
    """Contracts by symbol, oldest sample first. Instants are Unix ms."""

    def __init__(self) -> None:
        self._samples: list[tuple[int, dict[str, float]]] = []
        self._bases: dict[int, dict[str, float]] = {}  # minutes -> the sample of then; forgotten with each new sweep
        self._drawn: dict[tuple[str, int], str] = {}

    async def load(self, redis: Redis, now_ms: int) -> None:
        """The first sweep of each of the last minutes."""
        async with redis_faults(), redis.pipeline(transaction=False) as pipe:
            for minute in range(KEPT_MS // MINUTE_MS, 0, -1):
                pipe.xrange(SWEEPS, now_ms - minute * MINUTE_MS, count=1)
            replies = await pipe.execute()
        rows = {entry_id: fields for reply in replies for entry_id, fields in reply}
        entries = (sweep_entry(entry_id, fields).sweep for entry_id, fields in rows.items())
        self.add(sweep for sweep in entries if isinstance(sweep, Sweep))

    def add(self, sweeps: Iterable[Sweep]) -> None:
        """Newer sweeps, oldest first; one older than what is known changes nothing."""
        for sweep in sweeps:
            if self._samples and sweep.ended_ms <= self._samples[-1][0]:
                continue
            if len(self._samples) > 1 and self._samples[-1][0] - self._samples[-2][0] < APART_MS:
                self._samples.pop()
            self._samples.append((sweep.ended_ms, _contracts(sweep)))
            self._bases.clear()
            self._drawn.clear()
            while sweep.ended_ms - self._samples[0][0] > KEPT_MS:
                self._samples.pop(0)

    def change(self, symbol: str, minutes: int) -> float | None:
        """Of the newest sample against that of so long before, as a fraction; None without a baseline."""
        if not self._samples:
            return None
        newest, base = self._samples[-1][1], self._base(minutes)
        return newest[symbol] / base[symbol] - 1 if symbol in newest and symbol in base else None

    def _base(self, minutes: int) -> dict[str, float]:
        if minutes not in self._bases:
            wished_ms = self._samples[-1][0] - minutes * MINUTE_MS
            at_ms, sample = min(self._samples, key=lambda sample: abs(sample[0] - wished_ms))
            self._bases[minutes] = sample if abs(at_ms - wished_ms) <= NEAR_MS else {}
        return self._bases[minutes]

    def sparkline(self, symbol: str, width: int) -> str:
        """The last hour in so many characters, oldest first; a blank where nothing is known."""
        if not self._samples or width < 1:
            return " " * width
        if (symbol, width) not in self._drawn:
            self._drawn[symbol, width] = self._draw(symbol, width)
        return self._drawn[symbol, width]

    def _draw(self, symbol: str, width: int) -> str:
        end_ms = self._samples[-1][0]
        cells: list[float | None] = [None] * width
        for at_ms, values in self._samples:
            place = width - 1 - (end_ms - at_ms) * width // (60 * MINUTE_MS + 1)
            if place >= 0 and symbol in values:
                cells[place] = values[symbol]
        held = [before if cell is None else cell for before, cell in zip([None, *cells], cells, strict=False)]
        return _blocks(held)  # a minute that fell between two samples shows the one before


def _contracts(sweep: Sweep) -> dict[str, float]:
    """What was read in this sweep: a value carried through a failure is none."""
    return {
        symbol: float(reading.open_interest.open_interest)
        for symbol, reading in sweep.readings.items()
        if symbol not in sweep.failures and reading.open_interest.open_interest > 0
    }


def _blocks(cells: list[float | None]) -> str:
    known = [cell for cell in cells if cell is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low
    if span <= low * 1e-9:
        return "".join(" " if cell is None else BLOCKS[3] for cell in cells)
    return "".join(" " if cell is None else BLOCKS[min(7, int((cell - low) / span * 8))] for cell in cells)
