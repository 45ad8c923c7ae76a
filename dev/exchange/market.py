"""Prices, open interest and volumes as functions of the seed and the time: pure, no clock.

A value is its starting level times ``exp(walk)``; a walk is noise on six lattices whose amplitudes grow with the square
root of their periods, which looks like a random walk and can be asked for any instant, past ones included. Two servers
of one seed therefore agree, and one that is restarted goes on where the market is. Times are Unix milliseconds.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

from dev.exchange.universe import Contract

DAY_MS = 86_400_000
PERIODS_MS = (2_000, 16_000, 128_000, 1_024_000, 8_192_000, 65_536_000)
_SCALES = tuple(math.sqrt(6 * period / DAY_MS) for period in PERIODS_MS)  # 6: a triangular draw has variance 1/6
_MASK = (1 << 64) - 1
_STATISTICS_MS = 300_000

Steps = tuple[tuple[int, float], ...]


def steps(at_ms: float) -> Steps:
    """Where an instant lies on each lattice: the point before it and the fraction to the next. Shared by all walks."""
    return tuple((int(at_ms // period), at_ms % period / period) for period in PERIODS_MS)


def lattice(key: int, octave: int, index: int) -> float:
    """A draw in -1..1 fixed for ever by its three numbers (the finaliser of splitmix64)."""
    z = (key + octave * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    z ^= z >> 31
    return float(((z & 0xFFFFFFFF) + (z >> 32)) / 4294967296.0 - 1.0)


def key_of(seed: int, symbol: str, what: str) -> int:
    """The number that tells one walk from another."""
    return zlib.crc32(f"{seed}/{symbol}/{what}".encode()) << 32 | zlib.crc32(f"{what}/{symbol}/{seed}".encode())


class Walk:
    """One random walk of a given daily volatility; remembers the lattice points it last used."""

    __slots__ = ("_from", "_index", "_rise", "daily", "key")

    def __init__(self, key: int, daily: float) -> None:
        self.key, self.daily = key, daily
        self._index = [-1] * len(PERIODS_MS)
        self._from = [0.0] * len(PERIODS_MS)
        self._rise = [0.0] * len(PERIODS_MS)

    def at(self, where: Steps) -> float:
        total, octave = 0.0, 0
        for index, fraction in where:
            if self._index[octave] != index:
                self._move(octave, index)
            total += self._from[octave] + self._rise[octave] * fraction
            octave += 1  # noqa: SIM113 - enumerate costs a third more in the hottest loop of the server
        return total

    def once(self, at_ms: float) -> float:
        """The same value without disturbing what is remembered: for instants other than now."""
        total = 0.0
        for octave, (index, fraction) in enumerate(steps(at_ms)):
            a, b = lattice(self.key, octave, index), lattice(self.key, octave, index + 1)
            total += self.daily * _SCALES[octave] * (a + (b - a) * fraction)
        return total

    def _move(self, octave: int, index: int) -> None:
        scale = self.daily * _SCALES[octave]
        start = scale * lattice(self.key, octave, index)
        self._index[octave] = index
        self._from[octave] = start
        self._rise[octave] = scale * lattice(self.key, octave, index + 1) - start


@dataclass(slots=True)
class Day:
    """24 h statistics of one contract, refreshed every few minutes."""

    open: float
    high: float
    low: float
    at_ms: float


@dataclass(slots=True)
class Book:
    """What moves about one contract."""

    contract: Contract
    seed: int
    mark0: float = 0.0
    frozen: bool = False
    mark_walk: Walk = field(init=False)
    oi_walk: Walk = field(init=False)
    volume_walk: Walk = field(init=False)
    oi_every_ms: int = field(init=False)
    trade_every_ms: int = field(init=False)
    phase_ms: int = field(init=False)
    funding_ms: int = field(init=False)
    day: Day | None = None
    funding_minute: int = -1
    funding_token: str = ""
    _oi: tuple[int, float] = (-1, 0.0)

    def __post_init__(self) -> None:
        c, draw = self.contract, key_of(self.seed, self.contract.symbol, "draw")
        wild = 0.02 if c.base_asset in ("BTC", "ETH") else 0.03 + key_of(self.seed, c.base_asset, "wild") % 40 / 1000
        self.mark0 = self.mark0 or c.start_mark
        self.mark_walk = Walk(key_of(self.seed, c.base_asset, "mark"), wild if c.base_asset != "USDC" else 0.0003)
        self.oi_walk = Walk(key_of(self.seed, c.symbol, "oi"), 0.03 + wild / 2)
        self.volume_walk = Walk(key_of(self.seed, c.symbol, "volume"), 0.05)
        quiet = 14e9 / max(c.usd_volume, 1e5)
        self.oi_every_ms = min(900_000, int(211 * quiet**0.75) + draw % 83)
        self.trade_every_ms = min(600_000, int(37 * quiet**0.6) + draw % 23)
        self.phase_ms = draw % 1_000_003
        self.funding_ms = (28_800_000, 14_400_000, 14_400_000)[draw % 3]
        self.frozen = not c.trading

    def mark(self, where: Steps) -> float:
        """Mark price now; a delisted contract keeps its last one."""
        return self.mark0 if self.frozen else self.mark0 * math.exp(self.mark_walk.at(where))

    def mark_at(self, at_ms: float) -> float:
        """Mark price at any instant."""
        return self.mark0 if self.frozen else self.mark0 * math.exp(self.mark_walk.once(at_ms))

    def freeze(self, mark: float) -> None:
        self.mark0, self.frozen = mark, True

    def oi_changed_ms(self, now_ms: int) -> int:
        """When open interest last changed: a moment ago for a major, minutes ago for a quiet contract."""
        return now_ms - (now_ms - self.phase_ms) % self.oi_every_ms

    def oi_at(self, at_ms: float) -> float:
        """Open interest at any instant, in base units (COIN-M: contracts)."""
        return self.contract.start_oi * math.exp(self.oi_walk.once(self.oi_changed_ms(int(at_ms))))

    def oi_now(self, now_ms: int) -> float:
        """The same, remembered until it changes."""
        changed = self.oi_changed_ms(now_ms)
        if self._oi[0] != changed:
            self._oi = (changed, self.oi_at(now_ms))
        return self._oi[1]

    def volume(self, where: Steps) -> float:
        """USD traded in the last 24 h."""
        return self.contract.usd_volume * math.exp(self.volume_walk.at(where))

    def traded_in(self, from_ms: int, to_ms: int) -> bool:
        """Did it trade in this span? A contract that did not is absent from the ticker frames."""
        every, phase = self.trade_every_ms, self.phase_ms
        return (to_ms - phase) // every != (from_ms - phase) // every

    def statistics(self, now_ms: float) -> Day:
        """Open, high and low of the last 24 h, from samples three hours apart."""
        if self.day is None or abs(now_ms - self.day.at_ms) > _STATISTICS_MS:
            seen = [self.mark_at(now_ms - DAY_MS + hour * 3_600_000) for hour in range(0, 25, 3)]
            spread_ms = self.phase_ms % _STATISTICS_MS if self.day is None else 0  # so that not all are due at once
            self.day = Day(seen[0], max(seen), min(seen), now_ms - spread_ms)
        return self.day
