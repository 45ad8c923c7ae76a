"""The exchange's symbol list: looked at every five minutes, sooner on a hint, never believed when absurd."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.store import CONTRACTS, UNIVERSE
from tests.oi_poller.clocks import FastClock
from tests.oi_poller.conftest import Start, put_market, sample
from tests.oi_poller.venue import DELISTED, HTML, INVALID, Venue, row, serving
from tests.waiting import eventually

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]


async def universe(redis: Redis) -> set[str]:
    return {name.decode() for name in await redis.hkeys(UNIVERSE.key)}


async def test_a_new_listing_enters_within_five_minutes(redis: Redis, start: Start) -> None:
    """Nobody restarts the poller for a new coin."""
    clock = FastClock(speed=100)
    async with serving(Venue(SYMBOLS, clock)) as venue, start(venue, clock, OI_MIN_INTERVAL_SEC="20"):
        await put_market(redis, [*SYMBOLS, "NEWUSDT"], clock)
        await eventually(lambda: venue.info_asked)
        listed_ms = clock.now_ms()
        venue.rows.append(row("NEWUSDT"))
        venue.values["NEWUSDT"] = "5.000"

        await eventually(lambda: "NEWUSDT" in venue.asked)

        assert clock.now_ms() - listed_ms <= 330_000
        assert venue.info_asked == 2


async def test_a_delisted_symbol_is_dropped_at_once_and_the_list_asked_again(redis: Redis, start: Start) -> None:
    """-4108 is for good: no retry, no stale row, and a look at what else changed, at most once a minute."""
    clock = FastClock(speed=60)
    async with serving(Venue(SYMBOLS, clock)) as venue, start(venue, clock, OI_MIN_INTERVAL_SEC="3") as service:
        await put_market(redis, SYMBOLS, clock)
        await eventually(lambda: redis.hlen(CONTRACTS.key))
        venue.answers["SOLUSDT"] = DELISTED  # the list goes on calling it TRADING
        began_ms = clock.now_ms()

        await eventually(lambda: sample(service, "pipeline_oi_requests_total", outcome="not_trading"))
        await eventually(lambda: sample(service, "pipeline_universe_symbols") == 3)
        assert await universe(redis) == set(SYMBOLS) - {"SOLUSDT"}
        assert not await redis.hexists(CONTRACTS.key, "SOLUSDT")

        await eventually(lambda: venue.info_asked >= 3)
        minutes = (clock.now_ms() - began_ms) / 60_000
        assert venue.info_asked - 1 <= minutes + 1
        asked = sample(service, "pipeline_oi_requests_total", outcome="not_trading")
        assert asked <= venue.info_asked  # once after each list that still has it


async def test_one_bad_answer_for_all_symbols_empties_nothing(redis: Redis, start: Start) -> None:
    """openInterest alone is not believed of many at once; its symbol list goes on calling them TRADING."""
    clock = FastClock(speed=30)
    async with serving(Venue(SYMBOLS, clock)) as venue, start(venue, clock, OI_MIN_INTERVAL_SEC="3") as service:
        await put_market(redis, SYMBOLS, clock)
        await eventually(lambda: redis.hlen(CONTRACTS.key))
        venue.answers = dict.fromkeys(SYMBOLS, INVALID)

        await eventually(lambda: "most symbols failed" in service.health.report().detail)
        await eventually(lambda: venue.info_asked >= 2)  # asked for a second witness

        assert await universe(redis) == set(SYMBOLS)
        assert sample(service, "pipeline_oi_requests_total", outcome="invalid_symbol") >= len(SYMBOLS)
        venue.answers = {}
        await eventually(lambda: service.health.report().healthy)


async def test_an_empty_list_keeps_the_universe(redis: Redis, start: Start) -> None:
    """The exchange has answered empty lists; the dashboard must not go empty with it."""
    clock = FastClock(speed=100)
    async with (
        serving(Venue(SYMBOLS, clock)) as venue,
        start(venue, clock, OI_MIN_INTERVAL_SEC="3", OI_LISTINGS_INTERVAL_SEC="30") as service,
    ):
        await put_market(redis, SYMBOLS, clock)
        await eventually(lambda: redis.hlen(CONTRACTS.key))
        venue.rows = []

        await eventually(lambda: sample(service, "pipeline_listings_failures_total", reason="absurd_listings"))

        assert await universe(redis) == set(SYMBOLS)
        assert service.health.report().healthy


async def test_a_restart_without_exchange_info_goes_on_with_the_known_members(redis: Redis, start: Start) -> None:
    """One broken route must not stop the other."""
    async with serving(Venue(SYMBOLS)) as venue:
        await put_market(redis, SYMBOLS)
        async with start(venue):
            await eventually(lambda: redis.hlen(CONTRACTS.key))
        venue.info_answer = (200, HTML, {})
        venue.asked.clear()

        async with start(venue) as service:
            await eventually(lambda: len(venue.asked) >= 8)

            assert sample(service, "pipeline_listings_failures_total", reason="not_json") == 1


async def test_a_relisted_ticker_starts_anew(redis: Redis, start: Start) -> None:
    """The old coin's open interest must not be carried into the new one's history."""
    clock = FastClock(speed=100)
    async with (
        serving(Venue(SYMBOLS, clock)) as venue,
        start(venue, clock, OI_MIN_INTERVAL_SEC="3", OI_LISTINGS_INTERVAL_SEC="30"),
    ):
        await put_market(redis, SYMBOLS, clock)
        await eventually(lambda: redis.hexists(CONTRACTS.key, "SOLUSDT"))
        first = (await UNIVERSE.all(redis, lambda _: None))["SOLUSDT"]
        venue.answers["SOLUSDT"] = (503, "Service Unavailable.", {})
        venue.rows[2] = row("SOLUSDT", onboardDate=clock.now_ms())

        async def dropped() -> bool:
            return not await redis.hexists(CONTRACTS.key, "SOLUSDT")

        await eventually(dropped)
        await put_market(redis, SYMBOLS, clock)  # its own volume, newer than its listing
        await eventually(lambda: redis.hexists(UNIVERSE.key, "SOLUSDT"))

        again = (await UNIVERSE.all(redis, lambda _: None))["SOLUSDT"]
        assert again.onboard_ms > first.onboard_ms
        assert again.entered_ms > first.entered_ms
        assert not await redis.hexists(CONTRACTS.key, "SOLUSDT")
