"""Random faults at random venues, and the truth beside every sum: not one may be wrong."""

from __future__ import annotations

import random

import pytest
from redis.asyncio import Redis

from dev.venues.faults import FAULTS
from dev.venues.market import LISTS
from tests.fakes import FakeClock
from tests.venue_poller.world import World

SUMMED = ("bybit", "okx", "gate")
COINS = 14


async def judged(world: World, draw: random.Random, minutes: float, every: int = 1) -> tuple[int, set[str]]:
    """Plays for so long by the fake clock; how many sums were held against the truth, and the words that came."""
    sums, words = 0, set()
    for number in range(int(minutes * 12)):
        if draw.random() < 0.15:
            venue = draw.choice([*SUMMED, *LISTS])
            symbol = draw.choice(world.market.contracts[venue]).symbol
            world.fault(venue, draw.choice(list(FAULTS)), draw.choice([10, 40, 120, 600]), symbol)
        seen = await world.round()
        if number % every:
            continue
        for coin in seen.coins():
            found = seen.sum(coin, world.clock.now_ms())
            assert world.wrong(found) == [], (number, world.venues.faults.told())
            sums += bool(found.members)
            words |= {one.why for one in found.out}
    return sums, words


async def test_two_minutes_of_random_faults_make_no_wrong_sum(redis: Redis, clock: FakeClock) -> None:
    world = World(redis, clock, coins=COINS)
    await world.round()

    sums, words = await judged(world, random.Random(5), 2)

    assert sums > 200
    assert {"stale", "unknown_sides"} < words


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
async def test_half_an_hour_of_random_faults_makes_no_wrong_sum(redis: Redis, clock: FakeClock, seed: int) -> None:
    """Restarts among them: what the loops know stands in Redis."""
    world, draw = World(redis, clock, coins=COINS), random.Random(seed)
    await world.round()
    words: set[str] = set()
    for _ in range(6):
        sums, came = await judged(world, draw, 5)
        assert sums > 300
        words |= came
        world.restart()

    assert {"stale", "unknown_sides"} <= words
    assert words & {"meaning_changed", "jump"}


async def test_the_oracle_sees_a_sum_that_is_wrong(redis: Redis, clock: FakeClock) -> None:
    """Doubled from the first answer on, and below three times Binance's: nothing here can know, but the truth does."""
    world = World(redis, clock, coins=COINS)
    world.fault("okx", "doubled")
    seen = await world.round()

    assert any("okx" in odd for odd in world.wrong(seen.sum("BTC", clock.now_ms())))
