"""The exchange's symbol list: looked at every five minutes, sooner on a hint, never believed when absurd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.oi_poller.exchange import Fapi
from services.oi_poller.listings import Listings
from services.oi_poller.metrics import Metrics
from services.oi_poller.transport import sweep_client
from services.oi_poller.universe import Rules, Universe
from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.reply import Get
from shared.store import CONTRACTS, UNIVERSE
from shared.venues.binance.rest import Exchange
from tests.builders import NOW_MS, volume
from tests.fakes import at_work, sample, service
from tests.oi_poller.clocks import FastClock, HeldClock
from tests.oi_poller.conftest import Start, put_market
from tests.oi_poller.venue import DELISTED, HTML, INVALID, Answer, Venue, row, serving
from tests.waiting import eventually

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"]


async def universe(redis: Redis) -> set[str]:
    return {name.decode() for name in await redis.hkeys(UNIVERSE.key)}


class Kept:
    """The list alone, kept current of a venue; ``clock`` goes on when the test says so."""

    def __init__(self, redis: Redis, venue: Venue, clock: HeldClock, get: Get) -> None:
        self.venue, self.clock, self.service = venue, clock, service(clock, redis)
        ban = Ban(redis, clock)
        fapi = Fapi(Exchange(venue.origin, get, ban, clock), ban, WeightBudget(None, 200), clock)
        self.universe = Universe(Rules(frozenset({"PERPETUAL"}), frozenset({"USDT"}), 1, 0))
        self.listings = Listings(fapi, self.universe, ban, Metrics(self.service.registry), self.service, 300.0)

    async def look_after_s(self) -> float:
        """On to the next look; how long after the last it began."""
        looks = self.venue.info_asked
        while self.venue.info_asked == looks:
            await self.clock.wake_next()
            await eventually(lambda: self.venue.info_asked > looks or self.clock.sleeps)
        await eventually(lambda: self.clock.sleeps)
        before_ms, last_ms = self.venue.info_asked_ms[-2:]
        return (last_ms - before_ms) / 1000

    def members(self) -> set[str]:
        self.universe.look({s: volume(s) for s in (*SYMBOLS, "NEWUSDT")}, NOW_MS, 0.0)
        return set(self.universe.members)


@pytest.fixture
async def kept(redis: Redis) -> AsyncIterator[Kept]:
    clock, ready = HeldClock(), asyncio.Event()
    ready.set()
    async with serving(Venue(SYMBOLS, clock)) as venue, sweep_client(1) as get:
        it = Kept(redis, venue, clock, get)
        async with at_work(it.listings.keep(ready)):
            await eventually(lambda: clock.sleeps)
            yield it


async def test_the_list_is_looked_at_every_five_minutes_and_at_most_once_a_minute_on_a_hint(kept: Kept) -> None:
    """Nobody restarts the poller for a new coin."""
    kept.venue.rows.append(row("NEWUSDT"))

    assert 240 <= await kept.look_after_s() <= 300
    assert kept.members() == {*SYMBOLS, "NEWUSDT"}
    for _ in range(2):
        kept.listings.prompt()
        kept.listings.prompt()
        assert await kept.look_after_s() == 60
    assert 240 <= await kept.look_after_s() <= 300


@pytest.mark.parametrize(("reason", "answer"), [("not_json", (200, HTML, {})), ("absurd_listings", None)])
async def test_a_list_that_cannot_be_believed_changes_nothing_and_is_asked_for_soon(
    kept: Kept, reason: str, answer: Answer | None
) -> None:
    """The exchange has answered empty lists; the dashboard must not go empty with it, nor polling wait for it."""
    kept.venue.info_answer = answer
    kept.venue.rows = []
    kept.listings.tried.clear()

    await kept.look_after_s()

    assert sample(kept.service, "pipeline_listings_failures_total", reason=reason) == 1
    assert kept.members() == set(SYMBOLS)
    assert kept.listings.tried.is_set()
    assert await kept.look_after_s() <= 2


async def test_each_type_that_trades_in_numbers_and_is_left_out_is_named_once_a_day(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two only the first was, day after day."""
    caplog.set_level("INFO")
    kinds = ["TRADIFI_PERPETUAL", "CURRENT_MONTH"]
    kept.venue.rows += [row(f"{kind[:2]}{n}USDT", contractType=kind) for kind in kinds for n in range(20)]

    await kept.look_after_s()
    await kept.look_after_s()

    said = [record.facts for record in caplog.records if "leaves out" in record.message]  # type: ignore[attr-defined]
    assert said == [{"type": kind, "count": 20} for kind in kinds]


async def test_one_that_is_gone_is_dropped_at_once_all_of_them_are_not_and_the_list_is_asked(
    redis: Redis, start: Start
) -> None:
    """openInterest alone is not believed of many at once. Of one -4108 is for good: no retry, no stale row.

    Either way its symbol list, which goes on calling them TRADING, is asked what else changed, at most once a minute.
    """
    clock, pace = FastClock(speed=60), {"OI_MIN_INTERVAL_SEC": "3", "OI_LISTINGS_INTERVAL_SEC": "3600"}
    async with serving(Venue(SYMBOLS, clock)) as venue, start(venue, clock, **pace) as service:
        await put_market(redis, SYMBOLS, clock)
        await eventually(lambda: redis.hlen(CONTRACTS.key))
        venue.answers = dict.fromkeys(SYMBOLS, INVALID)
        began_ms = clock.now_ms()

        await eventually(lambda: "most symbols failed" in service.health.report().detail)
        await eventually(lambda: venue.info_asked >= 2)
        assert await universe(redis) == set(SYMBOLS)
        assert sample(service, "pipeline_oi_requests_total", outcome="invalid_symbol") >= len(SYMBOLS)
        assert sample(service, "pipeline_sweep_symbols", state="carried") == len(SYMBOLS)

        venue.answers = {"SOLUSDT": DELISTED}
        await eventually(lambda: sample(service, "pipeline_oi_requests_total", outcome="not_trading"))
        await eventually(lambda: sample(service, "pipeline_universe_symbols") == 3)
        assert await universe(redis) == set(SYMBOLS) - {"SOLUSDT"}
        assert not await redis.hexists(CONTRACTS.key, "SOLUSDT")
        assert service.health.report().healthy

        await eventually(lambda: venue.info_asked >= 3)
        minutes = (clock.now_ms() - began_ms) / 60_000
        assert venue.info_asked - 1 <= minutes + 1
        asked = sample(service, "pipeline_oi_requests_total", outcome="not_trading")
        assert asked <= venue.info_asked  # once after each list that still has it


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
