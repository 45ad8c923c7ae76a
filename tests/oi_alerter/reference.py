"""The alerter's rules once more, slow and obvious: everything is worked out anew from all that ever happened."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

Key = tuple[str, str, str]


class Rule(NamedTuple):
    name: str
    lookback_ms: int
    threshold: float
    cooldown_ms: int


class Event(NamedTuple):
    """One symbol in one sweep; ``onboard_ms`` is when its contract was listed, as known at that sweep."""

    symbol: str
    at_ms: int
    contracts: float
    onboard_ms: int


class Told(NamedTuple):
    symbol: str
    direction: str
    timeframe: str
    at_ms: int
    baseline: float
    baseline_ms: int
    current: float


def tolerance_ms(rule: Rule) -> float:
    """A tenth of the lookback, at least 30 s, at most 120 s, never more than the lookback itself."""
    wanted = rule.lookback_ms / 10
    wanted = max(wanted, 30_000)
    wanted = min(wanted, 120_000)
    return min(wanted, rule.lookback_ms)


def hole_ms(rule: Rule) -> float:
    """Half the lookback, at least 30 s, at most ten minutes, never more than the lookback itself."""
    wanted = rule.lookback_ms / 2
    wanted = max(wanted, 30_000)
    wanted = min(wanted, 600_000)
    return min(wanted, rule.lookback_ms)


def run_of(events: list[Event], hole: float, step_ms: int) -> list[Event]:
    """One symbol's events without old news, from the last hole, or the last step back in time, on."""
    run: list[Event] = []
    for event in events:
        if run and not -step_ms <= event.at_ms - run[-1].at_ms <= hole:
            run = []
        if not run or event.at_ms > run[-1].at_ms:
            run.append(event)
    return run


def kept(run: list[Event], step_ms: int) -> list[Event]:
    """The first of each step."""
    first: dict[int, Event] = {}
    for event in run:
        first.setdefault(event.at_ms // step_ms, event)
    return list(first.values())


def forget(now_ms: int, rules: list[Rule], step_ms: int, fired: dict[Key, int], outside_at: dict[Key, int]) -> None:
    """What can hold nothing back any more is not kept; only where time jumps back would it have mattered."""
    horizon = max(rule.lookback_ms + tolerance_ms(rule) for rule in rules) + step_ms
    cooldowns = {rule.name: rule.cooldown_ms for rule in rules}
    for key in list(fired):
        if now_ms - outside_at.get(key, 0) > horizon and now_ms - fired[key] >= cooldowns[key[2]]:
            del fired[key]
            outside_at.pop(key, None)


def alerts(events: list[Event], rules: list[Rule], min_contracts: float, step_ms: int) -> list[Told]:
    """All that should have been told, in order."""
    hole = max(hole_ms(rule) for rule in rules)
    told: list[Told] = []
    fired: dict[Key, int] = {}
    outside_at: dict[Key, int] = {}
    for number, now in enumerate(events):
        forget(now.at_ms if number == 0 else events[number - 1].at_ms, rules, step_ms, fired, outside_at)
        run = run_of([e for e in events[: number + 1] if e.symbol == now.symbol], hole, step_ms)
        if run[-1] is not now or now.at_ms < now.onboard_ms:
            continue
        past = [e for e in kept(run, step_ms) if now.onboard_ms <= e.at_ms < now.at_ms]
        for rule in rules:
            target = now.at_ms - rule.lookback_ms
            near = [e for e in past if abs(e.at_ms - target) <= tolerance_ms(rule)]
            if not near:
                continue
            baseline = min(near, key=lambda e: (abs(e.at_ms - target), e.at_ms))
            times = [e.at_ms for e in past if e.at_ms >= baseline.at_ms] + [now.at_ms]
            if any(later - earlier > hole_ms(rule) for earlier, later in pairwise(times)):
                continue
            moved = now.contracts - baseline.contracts
            for direction in ("UP", "DOWN"):
                key = (now.symbol, direction, rule.name)
                change = moved / baseline.contracts if direction == "UP" else -moved / baseline.contracts
                if change < rule.threshold:
                    outside_at.pop(key, None)
                    continue
                if key in outside_at and outside_at[key] >= baseline.at_ms:
                    outside_at[key] = now.at_ms
                    continue
                cooling = key in fired and 0 <= now.at_ms - fired[key] < rule.cooldown_ms
                if abs(moved) < min_contracts or cooling:
                    continue
                fired[key] = outside_at[key] = now.at_ms
                told.append(
                    Told(*key, now.at_ms, baseline.contracts, baseline.at_ms, now.contracts),
                )
    return told
