"""Would a hot tier pay? A simulation: the same weight a minute, spent evenly, or more often on a few. Pure, seeded.

Assumptions, most of them in favour of the hot tier: what is read is served a quarter of a second later, whatever the
number of symbols and of POSTs; the tiers do not overlap (a full sweep leaves out what is hot); the backend merges. The
hot symbols are chosen anew at each sweep by what there is to gain: notional times how far the symbol was seen to move.

Notional is heavy-tailed as in the stand-in (14 billion x rank^-1.4, a lognormal factor of 0.35), 343 symbols, 2,000 of
weight a minute. Open interest is either a random walk of 3 to 6.5 % a day, or that and bursts: on average one in ten
minutes for each symbol, 0.5 to 5 % within 5 to 30 s. The error is sum(notional x |now - served|) / sum(notional).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SYMBOLS, BUDGET_PER_MIN = 343, 2000
STEP_S, DAY_S = 0.25, 86_400.0
LAG_STEPS = 1  # from a reading taken to its being served
BURST_EVERY_S, BURST_SIZES, BURST_LENGTHS_S = 600.0, (0.005, 0.05), (5.0, 30.0)


class Plan(NamedTuple):
    """So many symbols every so many seconds; what is left of the budget goes to the others, evenly."""

    hot: int
    every_s: float

    @property
    def cold_every_s(self) -> float:
        left = BUDGET_PER_MIN - (self.hot * 60 / self.every_s if self.hot else 0)
        return 60 * (SYMBOLS - self.hot) / left

    @property
    def name(self) -> str:
        return f"{self.hot} hot every {self.every_s:g} s" if self.hot else "uniform"


UNIFORM = Plan(0, 1.0)
PLANS = (UNIFORM, Plan(30, 5.0), Plan(30, 2.5), Plan(10, 2.0), Plan(10, 1.0), Plan(5, 1.0))


class Burst(NamedTuple):
    until_s: float
    per_step: float


class Market:
    """Relative open interest of each symbol, 1 at the start, and its notional."""

    def __init__(self, seed: int, *, bursts: bool) -> None:
        self._draw = draw = random.Random(seed)
        self.notional = [14e9 * rank**-1.4 * draw.lognormvariate(0, 0.35) for rank in range(1, SYMBOLS + 1)]
        daily = [draw.uniform(0.03, 0.065) for _ in range(SYMBOLS)]
        self._step = [sigma * math.sqrt(STEP_S / DAY_S) for sigma in daily]
        self._bursts: dict[int, Burst] | None = {} if bursts else None
        self.level = [1.0] * SYMBOLS

    def advance(self, now_s: float) -> None:
        gauss = self._draw.gauss
        self.level = [level * (1 + gauss(0, sigma)) for level, sigma in zip(self.level, self._step, strict=True)]
        if self._bursts is not None:
            self._burst(now_s, self._bursts)

    def _burst(self, now_s: float, running: dict[int, Burst]) -> None:
        draw = self._draw
        for _ in range(_poisson(draw, SYMBOLS * STEP_S / BURST_EVERY_S)):
            lasts_s = draw.uniform(*BURST_LENGTHS_S)
            size = draw.uniform(*BURST_SIZES) * draw.choice((-1, 1))
            running[draw.randrange(SYMBOLS)] = Burst(now_s + lasts_s, size * STEP_S / lasts_s)
        for symbol, burst in list(running.items()):
            self.level[symbol] *= 1 + burst.per_step
            if now_s >= burst.until_s:
                del running[symbol]


def _poisson(draw: random.Random, mean: float) -> int:
    count, product, floor = 0, draw.random(), math.exp(-mean)
    while product > floor:
        count, product = count + 1, product * draw.random()
    return count


@dataclass
class Poller:
    """What one plan has read and served, how far each symbol was seen to move per root second, and its error so far."""

    plan: Plan
    read: list[float] = field(default_factory=lambda: [1.0] * SYMBOLS)
    served: deque[list[float]] = field(default_factory=lambda: deque([[1.0] * SYMBOLS], LAG_STEPS + 1))  # newest last
    moved: list[float] = field(default_factory=lambda: [1e-5] * SYMBOLS)
    asked_s: list[float] = field(default_factory=lambda: [0.0] * SYMBOLS)
    hot: set[int] = field(default_factory=set)
    hot_due_s: float = 0.0
    cold_due_s: float = 0.0
    requests: int = 0
    error: float = 0.0

    def turn(self, now_s: float, market: Market) -> None:
        if now_s >= self.cold_due_s:
            self.cold_due_s += self.plan.cold_every_s
            self.choose(market.notional)
            self.ask(set(range(SYMBOLS)) - self.hot, now_s, market.level)
        if self.plan.hot and now_s >= self.hot_due_s:
            self.hot_due_s += self.plan.every_s
            self.ask(self.hot, now_s, market.level)
        self.served.append(list(self.read))

    def choose(self, notional: Sequence[float]) -> None:
        ranked = sorted(range(SYMBOLS), key=lambda symbol: -notional[symbol] * self.moved[symbol])
        self.hot = set(ranked[: self.plan.hot])

    def ask(self, symbols: set[int], now_s: float, level: Sequence[float]) -> None:
        for symbol in symbols:
            since_s = max(STEP_S, now_s - self.asked_s[symbol])
            seen = abs(level[symbol] / self.read[symbol] - 1) / math.sqrt(since_s)
            self.moved[symbol] += 0.3 * (seen - self.moved[symbol])
            self.read[symbol], self.asked_s[symbol] = level[symbol], now_s
        self.requests += len(symbols)

    def judge(self, market: Market) -> None:
        rows = zip(market.notional, market.level, self.served[0], strict=True)
        self.error += sum(notional * abs(level - served) for notional, level, served in rows)


class Outcome(NamedTuple):
    """Error as a share of all notional, averaged over time; the same over that of the uniform sweep."""

    plan: Plan
    error: float
    ratio: float
    requests_per_min: float


def simulate(seed: int, seconds: float, *, bursts: bool, plans: Sequence[Plan] = PLANS) -> list[Outcome]:
    """All plans on one market; the first is what the others are compared with."""
    market, pollers = Market(seed, bursts=bursts), [Poller(plan) for plan in plans]
    steps = round(seconds / STEP_S)
    for step in range(steps):
        now_s = step * STEP_S
        market.advance(now_s)
        for poller in pollers:
            poller.turn(now_s, market)
            poller.judge(market)
    whole, base = sum(market.notional) * steps, pollers[0].error
    return [Outcome(p.plan, p.error / whole, p.error / base, p.requests * 60 / seconds) for p in pollers]


def best_possible(notional: Sequence[float]) -> float:
    """The least any split of the weight can reach on a random walk of equal volatility, over the uniform sweep.

    The error of a symbol grows with the root of its interval; the sum is least where rates go as notional^(2/3).
    """
    powers = sum(value ** (2 / 3) for value in notional)
    return float(powers**1.5 / (math.sqrt(len(notional)) * sum(notional)))


def table(seconds: float = 900.0, seeds: Sequence[int] = (1, 2, 3)) -> str:
    lines = ["| plan | the others every | weight a minute | random walk | bursty |", "| --- | --- | --- | --- | --- |"]
    runs = {bursts: [simulate(seed, seconds, bursts=bursts) for seed in seeds] for bursts in (False, True)}
    for n, plan in enumerate(PLANS):
        cells = []
        for bursts in (False, True):
            error = sum(run[n].error for run in runs[bursts]) / len(seeds)
            ratio = sum(run[n].ratio for run in runs[bursts]) / len(seeds)
            cells.append(f"{error * 1e6:.0f} ppm, {ratio:.2f}")
        weight = sum(run[n].requests_per_min for run in runs[False]) / len(seeds)
        lines.append(f"| {plan.name} | {plan.cold_every_s:.1f} s | {weight:.0f} | {cells[0]} | {cells[1]} |")
    bound = best_possible(Market(seeds[0], bursts=False).notional)
    return "\n".join([*lines, "", f"Least that any split could reach on the random walk: {bound:.2f}"])


if __name__ == "__main__":
    print(table())
