"""The whole poller, wired as it is started, against an exchange that counts its requests."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.clock import SystemClock
from shared.fence import Fence, FencedRedis
from shared.model import Member
from shared.store import BAN, CONTRACTS, SWEEPS, UNIVERSE, VOLUMES, round_trip
from tests.builders import NOW_MS, volume
from tests.fakes import sample
from tests.oi_poller.clocks import FastClock
from tests.oi_poller.conftest import Start, landed, put_market, sweeps
from tests.oi_poller.venue import TOO_MANY, Venue, serving
from tests.waiting import eventually

CHINESE = "币安人生USDT"
SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", CHINESE]
MANY = [f"S{n:02}USDT" for n in range(60)]
BANNED = '{"code":-1003,"msg":"Way too many requests; IP(10.0.0.1) banned until 1764720000000."}'


class SetClock(SystemClock):
    set_by_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.set_by_ms


async def test_sweeps_land_with_the_marks_of_their_moment(redis: Redis, start: Start) -> None:
    """The job: every member fresh, with its mark, in the stream and in the hash; and health says so."""
    await put_market(redis, SYMBOLS)
    async with serving(Venue(SYMBOLS)) as venue, start(venue) as service:
        venue.values["ETHUSDT"] = "0.000"
        first, *others = await landed(redis, 5)

        assert first.sweep_id < others[0].sweep_id < others[1].sweep_id < others[2].sweep_id
        assert set(first.readings) == set(SYMBOLS)
        assert first.failures == {}
        assert first.readings["BTCUSDT"].open_interest.open_interest == Decimal("82345.123")
        assert first.readings["BTCUSDT"].mark_price == Decimal("93041.35202399")
        assert first.readings["ETHUSDT"].open_interest.open_interest == 0
        assert await redis.hlen(CONTRACTS.key) == 4
        assert service.health.report().healthy
        assert service.facts["symbols"] == service.facts["fresh"] == "4"
        assert sample(service, "pipeline_universe_symbols") == 4
        assert sample(service, "pipeline_oi_requests_total", outcome="fresh") >= 4


async def test_it_says_what_it_waits_for_until_volumes_are_known(redis: Redis, start: Start) -> None:
    """Started before ws_daemon it is not broken, and not silent either."""
    async with serving(Venue(SYMBOLS)) as venue, start(venue, FastClock(20)) as service:
        await eventually(lambda: "ws_daemon" in service.health.report().detail)
        assert not service.health.report().healthy
        async with round_trip(redis) as pipe:
            VOLUMES.put(pipe, {s: volume(s) for s in SYMBOLS})
        await eventually(lambda: "waiting for marks" in service.health.report().detail)
        assert venue.asked == []

        await put_market(redis, SYMBOLS)

        await eventually(lambda: service.health.report().healthy)


async def test_a_failed_symbol_carries_its_last_good_reading_over_a_restart(redis: Redis, start: Start) -> None:
    await put_market(redis, SYMBOLS)
    async with serving(Venue(SYMBOLS)) as venue:
        async with start(venue):
            await landed(redis)
        good = (await sweeps(redis))[-1].readings["SOLUSDT"]
        venue.answers["SOLUSDT"] = (503, "Service Unavailable.", {})
        before = await redis.xlen(SWEEPS)

        async with start(venue) as service:
            record = (await landed(redis, before + 1))[before]

    assert record.failures == {"SOLUSDT": "server_error"}
    assert record.readings["SOLUSDT"] == good
    assert sample(service, "pipeline_sweep_symbols", state="carried") == 1


@pytest.mark.parametrize(("status", "body"), [(429, TOO_MANY), (418, BANNED)])
async def test_a_ban_is_kept_to_the_end_and_over_a_restart(redis: Redis, start: Start, status: int, body: str) -> None:
    """Zero requests but those under way; the process that is restarted in the middle sends none at all."""
    clock = FastClock(speed=50)
    async with serving(Venue(MANY, clock)) as venue:
        await put_market(redis, MANY, clock)
        async with start(venue, clock, OI_MIN_INTERVAL_SEC="5", OI_IN_FLIGHT="8") as service:
            await landed(redis)
            venue.answers["S30USDT"] = (status, body, {"Retry-After": "1200"})  # a busy machine has 24 s
            await eventually(lambda: sample(service, "pipeline_ban_until_timestamp_seconds"))
            until_ms = int(await eventually(lambda: redis.get(f"{BAN}:host-a")))
            await eventually(lambda: "nothing may be sent" in service.health.report().detail)
            await eventually(lambda: not venue.under_way)
            sent = venue.requests
        del venue.answers["S30USDT"]

        async with start(venue, clock, OI_MIN_INTERVAL_SEC="5", OI_IN_FLIGHT="8") as service:
            await eventually(lambda: "nothing may be sent" in service.health.report().detail)
            swept = await redis.xlen(SWEEPS)
            clock.set_speed(1000)
            while clock.now_ms() < until_ms:
                assert venue.requests == sent
                assert await redis.xlen(SWEEPS) == swept  # nor is there news to tell
                await asyncio.sleep(0.01)
            clock.set_speed(50)

            await eventually(lambda: service.health.report().healthy)
    record = next(one for one in await sweeps(redis) if one.failures)
    assert set(record.failures.values()) == {"rate_limited" if status == 429 else "banned"}
    assert record.universe() == set(MANY)


@pytest.mark.parametrize("set_by_s", [-3600, 3600])
async def test_a_sweep_takes_as_long_as_it_takes_though_the_clock_is_set(
    redis: Redis, start: Start, set_by_s: int
) -> None:
    """It took minus an hour, in the log, in Redis and in a histogram that Prometheus takes for begun anew."""
    clock = SetClock()
    await put_market(redis, SYMBOLS)
    venue = Venue(SYMBOLS)
    venue.delay_s["ETHUSDT"] = 0.3
    async with serving(venue), start(venue, clock, OI_MIN_INTERVAL_SEC="30") as service:
        await eventually(lambda: venue.under_way)
        clock.set_by_ms = set_by_s * 1000
        await eventually(lambda: "took_s" in service.facts)
        assert 0 < float(service.facts["took_s"]) < 60
        assert 0 < sample(service, "pipeline_sweep_duration_seconds_sum") < 60
    (record,) = await sweeps(redis)
    assert 0 < record.ended_ms - record.started_ms < 60_000


async def test_a_ban_that_comes_with_a_handover_is_kept(redis: Redis, start: Start) -> None:
    """Who loses its work begins anew and forgets; the address stays banned, and the host may get the work again."""
    fence = Fence("oi_poller", SystemClock(), patience_s=0.0)
    fence.open("1 host-a", math.inf)
    await put_market(redis, SYMBOLS)
    venue = Venue(SYMBOLS)
    venue.answers["ETHUSDT"], venue.delay_s["ETHUSDT"] = (418, BANNED, {"Retry-After": "120"}), 0.5
    async with serving(venue), start(venue, using=FencedRedis(redis, fence)):
        await eventually(lambda: "ETHUSDT" in venue.asked)
        fence.close("host-b")

        await eventually(lambda: redis.get(f"{BAN}:host-a"))


async def test_a_ban_that_another_service_was_told_is_not_blamed_on_a_good_sweep(redis: Redis, start: Start) -> None:
    """Who reads why it is quiet looks there for the cause."""
    async with serving(Venue(SYMBOLS)) as venue:
        await put_market(redis, SYMBOLS)
        async with start(venue) as service:
            await eventually(lambda: service.health.report().healthy)
            await redis.set(f"{BAN}:host-a", SystemClock().now_ms() + 60_000)
            await eventually(lambda: "nothing may be sent" in service.health.report().detail)
            assert service.health.report().detail.endswith("Z, oi:ban says so")


async def test_nothing_is_asked_without_redis_and_the_newest_sweep_lands_when_it_is_back(
    own_redis: EmbeddedRedis, start: Start
) -> None:
    """A ban may be written there: polling without knowing is polling into it. And weight spent on sweeps that nobody
    will see is weight taken from the address.
    """
    own_redis.kill()
    redis = store.connect(own_redis.url)
    async with serving(Venue(SYMBOLS)) as venue, start(venue, using=redis) as service:
        await eventually(lambda: sample(service, "pipeline_redis_failures_total") >= 2)
        assert "Redis" in service.health.report().detail
        assert venue.requests == 0

        own_redis.start()
        await put_market(redis, SYMBOLS)
        await eventually(lambda: service.health.report().healthy)
        failures = sample(service, "pipeline_redis_failures_total")
        own_redis.kill()
        await eventually(lambda: "Redis" in service.health.report().detail)
        sent = venue.requests
        await eventually(lambda: sample(service, "pipeline_redis_failures_total") >= failures + 3)
        assert venue.requests <= sent + len(SYMBOLS)

        own_redis.start()  # empty
        after = store.connect(own_redis.url)  # the connections of before are dead, and say so when next used
        await landed(after)
        assert await after.hlen(UNIVERSE.key) == await after.hlen(CONTRACTS.key) == 4
        await eventually(lambda: service.health.report().healthy)
    await after.aclose()
    await redis.aclose()


async def test_a_sweep_that_redis_missed_lands_as_soon_as_it_is_back(own_redis: EmbeddedRedis, start: Start) -> None:
    """Not when the next sweep is due: what is served would be an interval older than it need be."""
    redis = store.connect(own_redis.url)
    await put_market(redis, SYMBOLS)
    venue = Venue(SYMBOLS)
    venue.delay_s = dict.fromkeys(SYMBOLS, 0.3)
    async with serving(venue), start(venue, using=redis, OI_MIN_INTERVAL_SEC="30") as service:
        await eventually(lambda: venue.requests > len(SYMBOLS) // 2)
        own_redis.kill()  # in mid-sweep
        await eventually(lambda: "waiting for Redis" in service.health.report().detail)
        own_redis.start()

        after = store.connect(own_redis.url)
        await landed(after)
    await after.aclose()
    await redis.aclose()


async def test_a_blocked_address_is_said_once_and_retried_slowly(redis: Redis, start: Start) -> None:
    """A 451 is for a person to mend; asking four times a minute is enough to see that it is."""
    clock = FastClock(speed=50)
    async with serving(Venue(SYMBOLS, clock)) as venue:
        venue.always = (451, '{"code":0,"msg":"Service unavailable from a restricted location"}', {})
        async with round_trip(redis) as pipe:
            VOLUMES.put(pipe, {s: volume(s, event_ms=clock.now_ms()) for s in SYMBOLS})
            UNIVERSE.put(pipe, {s: Member(s, Decimal(5_000_000), NOW_MS, NOW_MS, 1) for s in SYMBOLS})
        began_ms = clock.now_ms()
        async with start(venue, clock) as service:
            await eventually(lambda: "location" in service.health.report().detail)
            await eventually(lambda: len(venue.asked) >= 3 * len(SYMBOLS))

            assert (clock.now_ms() - began_ms) / 1000 >= 7.5 + 15  # at the least, with jitter
            assert service.health.report().state == "starting"
            venue.always = None
            await eventually(lambda: service.health.report().healthy)


async def test_a_sweep_that_does_not_fit_begins_in_the_next_minute(redis: Redis, start: Start) -> None:
    """Half a sweep is 30 symbols failed for nothing; the exchange's count says at once that there is no room."""
    clock = FastClock(speed=1, start_ms=NOW_MS + 10_000)
    async with serving(Venue(MANY, clock)) as venue:
        venue.limit = 200
        minute = clock.now_ms() // 60_000
        venue.other_used[minute] = 100
        await put_market(redis, MANY, clock)
        async with start(venue, clock, OI_WEIGHT_RESERVE="0"):
            await landed(redis)
            clock.set_speed(60)
            first, second = (await landed(redis, 2))[:2]
    assert (first.failures, second.failures) == ({}, {})
    assert (first.started_ms // 60_000, second.started_ms // 60_000) == (minute, minute + 1)


async def test_an_interval_that_cannot_be_kept_is_told_and_the_budget_wins(redis: Redis, start: Start) -> None:
    """Six symbols at four a minute: two minutes a sweep, whatever OI_MAX_INTERVAL_SEC says."""
    clock, few = FastClock(speed=60, start_ms=NOW_MS + 45_000), MANY[:6]
    async with serving(Venue(few, clock)) as venue:
        await put_market(redis, few, clock)
        async with start(venue, clock, OI_MAX_REQ_PER_MIN="4", OI_IN_FLIGHT="4") as service:
            assert (await landed(redis))[0].failures == {}
            assert sample(service, "pipeline_sweep_interval_seconds") == 120.0
            assert sample(service, "pipeline_sweep_interval_over_max") == 1
            assert service.health.limit_s >= 360
    assert all(used <= 4 for used in venue.used.values())


async def test_one_look_at_redis_serves_a_whole_sweep(redis: Redis, start: Start) -> None:
    """The incident began with 341 look-ups a cycle: here marks and volumes are one command each."""
    await put_market(redis, MANY)
    await redis.config_resetstat()
    async with serving(Venue(MANY)) as venue, start(venue, OI_MIN_INTERVAL_SEC="20"):
        await landed(redis)
    stats = await redis.info("commandstats")

    assert await redis.xlen(SWEEPS) == 1
    assert stats["cmdstat_hgetall"]["calls"] <= 4  # members, readings, volumes, marks
    assert "cmdstat_hget" not in stats


async def test_it_stops_at_once_whatever_it_is_doing(redis: Redis, start: Start) -> None:
    """SIGTERM is a cancellation; one that is swallowed anywhere leaves a process that must be killed."""
    await put_market(redis, SYMBOLS)
    async with serving(Venue(SYMBOLS)) as venue:
        for _ in range(15):
            async with asyncio.timeout(20):
                with contextlib.suppress(asyncio.CancelledError):
                    async with start(venue):
                        await asyncio.sleep(random.uniform(0.0, 0.1))


async def test_the_end_of_a_minute_is_looked_at(redis: Redis, start: Start) -> None:
    """What another script sends behind our last sweep of a minute is told by nothing else."""
    clock = FastClock(speed=100)
    async with (
        serving(Venue(SYMBOLS, clock)) as venue,
        start(venue, clock, OI_MAX_REQ_PER_MIN="", OI_MIN_INTERVAL_SEC="9"),
    ):
        await put_market(redis, SYMBOLS, clock)

        await eventually(lambda: venue.time_asked_ms)
