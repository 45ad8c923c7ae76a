"""A detector as the service holds it, and one symbol's market to show it; values in, alerts out, time passed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.oi_alerter import wire
from services.oi_alerter.detector import Alert, Detector, Findings, Frame, Key, Latch, history_for
from services.oi_alerter.history import Sample, UnitChange
from tests.fakes import FakeClock

FIVE = Frame("5 min", 300_000, 0.03, 600_000)
FIFTEEN = Frame("15 min", 900_000, 0.07, 900_000)
HOUR = Frame("1 hour", 3_600_000, 0.12, 3_600_000)
PRODUCTION = (FIVE, FIFTEEN, HOUR)
MIN_CONTRACTS = 5000


class Watch:
    """A detector with the history and latches that the service would hold for it."""

    def __init__(self, frames: Sequence[Frame] = PRODUCTION, min_contracts: float = MIN_CONTRACTS) -> None:
        self.detector = Detector(frames, min_contracts)
        self.frames = frames
        self.history = history_for(frames)
        self.latches: dict[Key, Latch] = {}
        self.seen: list[tuple[str, Sample]] = []
        self.held_back: dict[str, int] = {}
        self.unit_changes: list[UnitChange] = []

    def see(
        self, contracts: float, at_ms: int, symbol: str = "ETHUSDT", mark: float | None = None, onboard_ms: int = 0
    ) -> list[Alert]:
        sample, found = Sample(at_ms, contracts, mark), Findings()
        self.seen.append((symbol, sample))
        added = self.history.add(symbol, sample, onboard_ms)
        if isinstance(added, UnitChange):
            self.unit_changes.append(added)
        elif added is not None:
            self.detector.look(symbol, added, sample, self.latches, found)
        self.latches |= found.latches
        for key in self.detector.idle(self.latches, at_ms, self.history.horizon_ms):
            del self.latches[key]
        self.held_back = dict(found.held_back)
        return found.alerts

    def restart(self) -> None:
        """All that is left is what Redis keeps: the latches, and the samples of the last sweeps."""
        stored = dict(wire.encode_latch(key, latch) for key, latch in self.latches.items())
        self.latches = dict(wire.decode_latch(name.encode(), blob) for name, blob in stored.items())
        self.history = history_for(self.frames)
        for symbol, sample in self.seen:
            self.history.add(symbol, sample)


class Market:
    """One symbol, seen every ten seconds."""

    def __init__(self, clock: FakeClock, watch: Watch) -> None:
        self.clock = clock
        self.watch = watch

    def run(self, contracts: float, s: float, **more: float) -> list[Alert]:
        """Hold this level for so long; the alerts on the way."""
        alerts: list[Alert] = []
        for _ in range(round(s / 10)):
            self.clock.advance(s=10)
            alerts += self.watch.see(contracts, self.clock.now_ms(), **more)  # type: ignore[arg-type]
        return alerts


def names(alerts: Iterable[Alert]) -> list[str]:
    return [f"{alert.key.direction} {alert.key.timeframe}" for alert in alerts]
