"""One read for everybody, with Redis there, away and wedged."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from services.funding_api.metrics import Metrics
from services.funding_api.snapshot import FRESH_S, Reader
from shared import store
from shared.errors import Transient
from tests.builders import mark
from tests.fakes import FakeClock
from tests.funding_api import stored
from tests.waiting import eventually


def reader(redis: Redis, clock: FakeClock) -> Reader:
    return Reader(redis, Metrics(CollectorRegistry()), clock)


async def test_a_read_is_shared_for_a_quarter_of_a_second_and_no_longer(redis: Redis, clock: FakeClock) -> None:
    await stored.store(redis, stored.hashes([mark(price="1")]))
    reading = reader(redis, clock)
    first, *others = await asyncio.gather(*(reading.latest() for _ in range(50)))
    assert all(other is first for other in others)

    await stored.store(redis, stored.hashes([mark(price="2")]))
    clock.advance(s=FRESH_S - 0.001)
    assert await reading.latest() is first
    clock.advance(s=0.001)
    assert (await reading.latest()).marks["BTCUSDT"].mark_price == 2


async def test_a_caller_that_gives_up_does_not_end_the_read_of_the_others(redis: Redis, clock: FakeClock) -> None:
    await stored.store(redis, stored.hashes([mark()]))
    reading = reader(redis, clock)
    impatient, patient = (asyncio.create_task(reading.latest()) for _ in range(2))
    await asyncio.sleep(0)

    impatient.cancel()

    assert (await patient).marks.keys() == {"BTCUSDT"}
    assert impatient.cancelled()


async def test_rows_that_cannot_be_trusted_are_counted_once_a_read(redis: Redis, clock: FakeClock) -> None:
    await stored.store(redis, stored.hashes([mark()]))
    await redis.hset("oi:mark", "ETHUSDT", '{"mark":"-1"}')  # type: ignore[misc]
    metrics = Metrics(CollectorRegistry())
    reading = Reader(redis, metrics, clock)

    for _ in range(3):
        assert (await reading.latest()).marks.keys() == {"BTCUSDT"}

    assert metrics.bad_rows.labels("redis", "stored_mark")._value.get() == 1


async def test_redis_away_is_told_to_all_who_wait_and_it_comes_back_by_itself(
    own_redis: EmbeddedRedis, clock: FakeClock
) -> None:
    async with store.connect(own_redis.url) as redis:
        await stored.store(redis, stored.hashes([mark()]))
        reading = reader(redis, clock)
        await reading.latest()
        clock.advance(s=FRESH_S)
        own_redis.kill()

        outcomes = await asyncio.gather(*(reading.latest() for _ in range(20)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Transient}
        assert {str(outcome)[:6] for outcome in outcomes} == {"Redis:"}
        assert len({id(outcome) for outcome in outcomes}) == 20

        own_redis.start()

        async def back() -> bool:
            clock.advance(s=FRESH_S)
            try:
                return (await reading.latest()).marks == {}
            except Transient:
                return False

        await eventually(back)
