"""A venue's loop on the stand-in: what lands in Redis, and what becomes of each fault."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import AsyncMock

import pytest
from redis.asyncio import Redis

from services.venue_poller.guest import failure
from shared.aggregate import Aggregate
from shared.errors import RateLimited, Transient
from shared.health import HANG_S
from shared.reply import Reply
from shared.venuelines import VENUE_LINES, AllVenues
from tests.fakes import FakeClock, at_work
from tests.venue_poller.world import World
from tests.waiting import eventually

SUMMED = {"binance", "bybit", "okx", "gate"}


@pytest.fixture
def world(redis: Redis, clock: FakeClock) -> World:
    return World(redis, clock)


def of(seen: AllVenues, world: World, coin: str = "BTC") -> Aggregate:
    found = seen.sum(coin, world.clock.now_ms())
    assert world.wrong(found) == []
    return found


async def half_a_minute(world: World, *names: str) -> AllVenues:
    """What was good before is stale after it."""
    of(await world.round(*names), world)
    world.clock.advance(28)
    return await world.round(*names)


def words(found: Aggregate, venue: str) -> set[str]:
    return {one.why for one in found.out if one.venue == venue}


async def test_every_venue_s_rows_by_one_convention(world: World) -> None:
    await world.round()
    seen = await world.round()

    for coin in ("BTC", "ETH", "PEPE"):
        found = of(seen, world, coin)
        assert found.venues <= SUMMED
        assert {why for one in found.out if (why := one.why)} <= {"unknown_sides"}
    assert of(seen, world).venues == SUMMED
    assert {row.symbol for row in of(seen, world).members} >= {
        "BTCUSDT",
        "BTCUSD",
        "BTC-USDT-SWAP",
        "BTC-USD-SWAP",
        "BTC_USD",
        "BTCPERP",
        "BTC-USDC-SWAP",
    }
    assert world.trouble == dict.fromkeys(world.trouble, "")


# What is asked for at OKX, Gate or Bybit -> the word for it, and whether the venue stays in the sum of BTC.
FAULTS = [
    ("okx", "doubled", "meaning_changed", False),
    ("gate", "unit_swap", "meaning_changed", False),
    ("okx", "shift", "astray", False),
    ("bybit", "late", "late", False),
    ("okx", "one_demo", "jump", True),  # the inverse contract stays
    ("bybit", "no_single", "unknown_sides", False),
    ("bybit", "no_both", "", True),
]


@pytest.mark.parametrize(("venue", "fault", "word", "stays"), FAULTS)
async def test_each_fault_ends_in_its_word_and_in_no_wrong_sum(
    world: World, venue: str, fault: str, word: str, stays: bool
) -> None:
    await world.round()
    world.fault(venue, fault, 60)
    seen = await half_a_minute(world, venue)

    found = of(seen, world)

    assert words(found, venue) == ({word} if word else set())
    assert (venue in found.venues) is stays
    world.clock.advance(60)
    assert words(of(await world.round(venue), world), venue) == set()


@pytest.mark.parametrize(("venue", "fault"), [("okx", "dead"), ("bybit", "delisted")])
async def test_a_dead_symbol_is_out_and_takes_nobody_with_it(world: World, venue: str, fault: str) -> None:
    await world.round()
    symbol = next(c.symbol for c in world.market.contracts[venue] if c.coin == "ETH" and not c.inverse)
    world.fault(venue, fault, symbol=symbol)
    seen = await half_a_minute(world, venue)

    found = of(seen, world, "ETH")

    assert symbol in {one.symbol for one in found.out}
    assert venue in of(seen, world).venues


@pytest.mark.parametrize(
    ("fault", "said"), [("html", "not_json"), ("cut", "bad_body"), ("error", "500"), ("empty", "holds no contract")]
)
async def test_an_answer_that_is_none_is_the_venue_s_trouble_alone(world: World, fault: str, said: str) -> None:
    await world.round()
    world.fault("okx", fault)
    seen = await half_a_minute(world)

    assert said in world.trouble["okx"]
    assert said in seen.lines["okx"].trouble
    assert of(seen, world).venues == SUMMED - {"okx"}
    assert words(of(seen, world), "okx") == {"stale"}


async def test_a_ban_is_kept_to_its_end_and_over_a_restart(world: World, redis: Redis) -> None:
    await world.round()
    world.fault("bybit", "forbidden", 6)
    await world.round("bybit")
    asked = world.asked.count("bybit")

    for _ in range(3):
        world.clock.advance(190)
        world.restart()
        seen = await world.round("bybit")

    assert world.asked.count("bybit") == asked
    assert "nothing may be sent" in seen.lines["bybit"].trouble
    assert seen.lines["bybit"].until > world.clock.now_ms()
    world.clock.advance(20)
    assert "bybit" in of(await world.round("bybit"), world).venues


async def test_a_venue_says_for_how_long_it_wants_to_hear_nothing(world: World) -> None:
    world.fault("okx", "limited", 6)
    await world.round("okx")
    asked = world.asked.count("okx")

    assert (await world.round("okx")).lines["okx"].until
    assert world.asked.count("okx") == asked
    world.clock.advance(5)
    await world.round("okx")
    assert world.asked.count("okx") == asked + 1


@pytest.mark.parametrize("venue", ["bybit", "okx"])  # with status 200, with 429
async def test_who_is_told_of_too_many_requests_rests_though_nobody_says_for_how_long(world: World, venue: str) -> None:
    world.fault(venue, "too_many", 6)
    await world.round(venue)
    asked = world.asked.count(venue)

    line = (await world.round(venue)).lines[venue]

    assert world.asked.count(venue) == asked
    assert line.until > world.clock.now_ms()
    world.clock.advance(60)
    assert not (await world.round(venue)).lines[venue].trouble


async def test_in_a_long_ban_the_service_does_not_look_hung(world: World) -> None:
    """With one venue in VENUES its 403 made the service silent for ten minutes, and the service manager killed it."""
    world.fault("bybit", "forbidden")
    begun_s = world.clock.monotonic_s()

    async with at_work(world.pollers["bybit"].run()):
        await eventually(lambda: world.clock.monotonic_s() > begun_s + 700)

    assert max(world.clock.slept) <= HANG_S
    assert 2 <= world.asked.count("bybit") <= 1 + (world.clock.monotonic_s() - begun_s) / 600


@pytest.mark.parametrize("status", [404, 418, 429, 451, 500, 503])
async def test_with_whichever_status_it_says_so_nothing_is_sent_before(world: World, status: int) -> None:
    """Maintenance is told with 503 and Retry-After; it was asked again within seconds."""
    told = Reply(status, {"retry-after": "900"}, b"<html>")
    error = failure(told, world.clock.now_ms())

    assert isinstance(error, RateLimited)
    assert (error.retry_after_s or 0) >= 900


@pytest.mark.parametrize("away", ["okx", "Redis"])
async def test_a_restart_that_begins_with_a_failure_forgets_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """`oi status` said "never believed", and a doubt of hours began anew."""
    await world.round("okx")
    world.fault("okx", "one_demo")
    before = (await world.round("okx")).lines["okx"]
    assert before.refused
    world.fault("okx", "error", 6)
    world.restart()
    lines = world.lines["okx"]
    recall = lines.recall
    if away == "Redis":  # when it was asked for what was before, and back in the next moment
        monkeypatch.setattr(lines, "recall", AsyncMock(side_effect=Transient("Redis is away")))

    after = (await world.round("okx")).lines["okx"]
    monkeypatch.setattr(lines, "recall", recall)

    assert ("500" in after.trouble) is (away == "okx")
    assert (after.at, after.refused) == (before.at, before.refused)
    world.clock.advance(6)
    again = (await world.round("okx")).lines["okx"]
    assert {s: one.since for s, one in again.refused.items()} == {s: one.since for s, one in before.refused.items()}
    assert again.at > before.at


async def test_every_contract_that_is_refused_is_named(redis: Redis, clock: FakeClock) -> None:
    """However many: what the line does not name begins its day of doubt anew at a restart."""
    world = World(redis, clock, coins=450, venues=["okx"])
    await world.round()
    world.fault("okx", "doubled")

    line = (await world.round()).lines["okx"]

    assert len(line.refused) > 200
    assert line.rows == 0


@pytest.mark.parametrize(("days", "known"), [(6, True), (8, False)])
async def test_a_venue_that_nobody_asked_for_a_week_begins_anew(world: World, days: int, known: bool) -> None:
    """Its contracts of then are nothing to hold it against, and one that is gone does not stay for ever."""
    await world.round()
    stale = (await world.redis.hgetall("oi:venue:okx"))[b"BTC"]
    await world.redis.hset("oi:venue:okx", "GONE", stale.replace(b"BTC", b"GONE"))
    world.clock.advance(days * 86_400)
    world.market.contracts["okx"] = [replace(c, share=2 * c.share) for c in world.market.contracts["okx"]]
    world.restart()

    seen = await world.round("okx")

    assert ("GONE" in seen.rows["okx"]) is known
    assert words(of(seen, world), "okx") == ({"meaning_changed"} if known else set())


async def test_without_binance_s_marks_nothing_is_proved(world: World) -> None:
    await world.round()
    world.binance_reads = False
    world.clock.advance(16)
    seen = await half_a_minute(world)

    assert "no fresh mark" in world.trouble["gate"]
    assert of(seen, world).members == ()


async def test_an_hour_and_what_it_changed(world: World) -> None:
    """A venue that joins meanwhile is no change of open interest."""
    for minute in range(7):
        world.clock.advance(55)
        seen = await world.round("bybit", "okx", *(["gate"] if minute > 4 else []))
    rows = {row.symbol: row for row in of(seen, world).members}

    assert rows["BTCUSDT"].past[0] is not None
    true = world.market.coins(world.market.find("okx", "BTC-USDT-SWAP"), world.clock.now_ms() - 300_000)
    assert abs(float(rows["BTC-USDT-SWAP"].past[0] or 0) / true - 1) < 0.01
    assert rows["BTC_USDT"].past == (None, None, None)


async def test_a_line_that_cannot_be_read_is_written_over(world: World, redis: Redis) -> None:
    await redis.hset("oi:venue:okx", "BTC", "{")
    await redis.hset(VENUE_LINES.key, "okx", "[]")

    seen = await world.round()

    assert "okx" in of(seen, world).venues
