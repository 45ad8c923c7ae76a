"""What stands in Redis after a sweep, and what becomes of a sweep that Redis did not take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from services.oi_poller.metrics import Metrics
from services.oi_poller.sweepstore import SweepStore
from services.oi_poller.universe import Rules, Universe
from shared.clock import SystemClock
from shared.errors import Transient
from shared.health import Health
from shared.model import Member
from shared.store import CONTRACTS, SWEEPS, UNIVERSE, connect, round_trip
from tests.builders import NOW_MS, reading, sweep
from tests.fakes import FakeClock
from tests.oi_poller.conftest import sweeps


def member(symbol: str) -> Member:
    return Member(symbol, Decimal(5_000_000), NOW_MS, NOW_MS, 1)


@pytest.fixture
def universe() -> Universe:
    made = Universe(Rules(frozenset(), frozenset(), 0, 0))
    made.members = {"BTCUSDT": member("BTCUSDT"), "ETHUSDT": member("ETHUSDT")}
    return made


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def store(redis: Redis, universe: Universe, metrics: Metrics, clock: FakeClock) -> SweepStore:
    return SweepStore(redis, universe, metrics, clock, Health(clock, 60.0), 5.0)


async def test_a_landed_sweep_is_one_line_a_symbol_and_one_entry_in_the_stream(redis: Redis, store: SweepStore) -> None:
    """The operator reads it with redis-cli; a carried reading keeps its own, older row."""
    old = reading("ETHUSDT", "7", received_ms=NOW_MS - 60_000)
    record = sweep(reading("BTCUSDT", "82345.1230"), old, failures={"ETHUSDT": "timeout"})
    store.owe(record)

    assert await store.write_owed() is record

    assert (await redis.hget(CONTRACTS.key, "BTCUSDT")).decode() == (
        f'{{"oi":"82345.1230","t":{NOW_MS - 500},"at":{NOW_MS},"mark":"93041.35202399"}}'
    )
    assert not await redis.hexists(CONTRACTS.key, "ETHUSDT")
    assert await redis.hlen(UNIVERSE.key) == 2
    assert await sweeps(redis) == [record]
    assert await store.write_owed() is None


async def test_what_left_the_universe_leaves_redis(redis: Redis, store: SweepStore, universe: Universe) -> None:
    """Rows of symbols nobody polls any more would look like data."""
    store.owe(sweep(reading("BTCUSDT"), reading("ETHUSDT")))
    await store.write_owed()

    universe.drop({"ETHUSDT"})
    store.owe(sweep(reading("BTCUSDT"), reading("ETHUSDT")))
    await store.write_owed()

    assert await redis.hkeys(UNIVERSE.key) == await redis.hkeys(CONTRACTS.key) == [b"BTCUSDT"]
    assert universe.departed == set()


async def test_the_run_before_is_recalled_without_its_leftovers(
    redis: Redis, store: SweepStore, universe: Universe, metrics: Metrics
) -> None:
    """Members and their readings; a row nobody owns goes, and a broken one costs only itself."""
    async with round_trip(redis) as pipe:
        UNIVERSE.put(pipe, {"BTCUSDT": member("BTCUSDT")})
        CONTRACTS.put(pipe, {"BTCUSDT": reading("BTCUSDT"), "GONEUSDT": reading("GONEUSDT")})
        pipe.hset(UNIVERSE.key, "BADUSDT", b'{"quoteVolume24h":"NaN"}')

    readings = await store.recall()

    assert readings == {"BTCUSDT": reading("BTCUSDT")}
    assert list(universe.members) == ["BTCUSDT"]
    assert universe.departed == {"GONEUSDT"}
    assert metrics.bad_rows.labels("redis", "stored_universe")._value.get() == 1


@pytest.fixture
async def owned(
    own_redis: EmbeddedRedis, universe: Universe, metrics: Metrics, clock: FakeClock
) -> AsyncIterator[SweepStore]:
    """A store on a Redis that the test may harm."""
    redis = connect(own_redis.url)
    yield SweepStore(redis, universe, metrics, clock, Health(clock, 60.0), 5.0)
    await redis.aclose()


async def test_a_sweep_outlives_redis_and_lands_once(own_redis: EmbeddedRedis, owned: SweepStore) -> None:
    """Redis killed and back, empty: the newest sweep is there, once, with the whole universe."""
    redis = owned.redis
    own_redis.kill()
    for n in range(2):
        owned.owe(sweep(reading("BTCUSDT", str(n)), name=f"sweep-{n}"))
        with pytest.raises(Transient):
            await owned.write_owed()

    own_redis.start()
    landed = await owned.write_owed()

    assert landed is not None
    assert [one.sweep_id for one in await sweeps(redis)] == ["sweep-1"]
    assert await redis.hlen(UNIVERSE.key) == 2


async def test_a_write_that_redis_obeyed_after_all_is_not_repeated(own_redis: EmbeddedRedis, owned: SweepStore) -> None:
    """A stopped Redis reads on waking what it was sent while asleep; the sweep must not stand there twice."""
    redis = owned.redis
    redis.connection_pool.connection_kwargs["socket_timeout"] = 0.3  # in place of seconds
    assert await redis.ping()
    assert own_redis.process is not None
    own_redis.process.send_signal(19)  # SIGSTOP
    owned.owe(sweep(reading("BTCUSDT")))
    for _ in range(3):
        with pytest.raises(Transient):
            await owned.write_owed()
    own_redis.process.send_signal(18)  # SIGCONT

    assert await owned.write_owed() is not None
    assert await redis.xlen(SWEEPS) == 1


@pytest.mark.parametrize(
    ("age_ms", "set_by_s", "refusals", "left"),
    [
        (0, 86_400, 1, 151),  # a quarter goes, and the next try finds room: a clock set ahead makes nothing old
        (4 * 3_600_000, 86_400, 0, 1),  # what is old goes first, so there is room at once
        (4 * 3_600_000, -86_400, 1, 151),  # in doubt it is not old
    ],
)
async def test_a_redis_filled_by_history_takes_the_next_sweep(
    owned: SweepStore, clock: FakeClock, age_ms: int, set_by_s: int, refusals: int, left: int
) -> None:
    """A small one with maxmemory stayed full for good: the old was let go with the write that was refused."""
    for n in range(200):
        await owned.redis.xadd(SWEEPS, {"sweep": bytes(20_000)}, id=f"{NOW_MS - age_ms}-{n + 1}")
    await owned.redis.config_set("maxmemory", (await owned.redis.info("memory"))["used_memory"])
    clock.set_wall(set_by_s)
    owned.owe(sweep(reading("BTCUSDT")))
    for _ in range(refusals):
        with pytest.raises(Transient, match="OutOfMemory"):
            await owned.write_owed()

    assert await owned.write_owed() is not None

    assert await owned.redis.xlen(SWEEPS) == left


async def test_a_clock_that_was_ahead_at_the_start_makes_no_history_old(
    redis: Redis, universe: Universe, metrics: Metrics
) -> None:
    """A host whose clock was set back soon after boot let go of each sweep with the next, delivered or not."""
    clock = FakeClock(SystemClock().now_ms() + 8 * 3_600_000)
    store = SweepStore(redis, universe, metrics, clock, Health(clock, 60.0), 5.0)
    clock.set_wall(-8 * 3_600)
    for n in range(3):
        store.owe(sweep(reading("BTCUSDT"), name=str(n)))
        await store.write_owed()

    assert [kept.sweep_id for kept in await sweeps(redis)] == ["0", "1", "2"]
