"""Which hop is at fault, and what that means for what is served."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cli.settings import find
from cli.show import DEGRADED, DOWN, GOOD, OFF, UNKNOWN, age, money
from cli.state import Snapshot, read
from cli.status import Status, status, without_redis
from shared.clock import iso
from tests.cli.world import SERVICES, World

SETTINGS = find({"REDIS_URL": "redis://h"}).settings


async def judged(world: World, redis: Redis) -> Status:
    return status(await world.seen(redis), SETTINGS, "a test")


def hops(found: Status) -> dict[str, str]:
    return {hop.hop: hop.state for hop in found.hops}


async def test_all_is_well(redis: Redis) -> None:
    found = await judged(World(), redis)

    assert set(hops(found).values()) == {GOOD}
    assert (found.state, found.exit_status) == (GOOD, 0)
    assert len(found.hops) == 11


def kill(service: str) -> Callable[[World], object]:
    return lambda world: world.beats.pop(service)


def says(service: str, **fields: str) -> Callable[[World], object]:
    return lambda world: world.beats[service].update(fields)


def judges(verdict: str, served: str) -> Callable[[World], object]:
    return says("publisher", state="degraded", detail=f"{verdict}: {served} served", verdict=verdict, served=served)


def change(**parts: object) -> Callable[[World], object]:
    return lambda world: [setattr(world, name, value) for name, value in parts.items()]


TOLD_BY = {
    "feed": "ws_daemon",
    "sweep": "oi_poller",
    "delivery": "publisher",
    "served": "publisher",
    "alerts": "oi_alerter",
    "funding": "funding_api",
    "history": "oi_keeper",
}

CASES: list[tuple[str, Callable[[World], object], dict[str, str], str]] = [
    ("feed dead", kill("ws_daemon"), {"feed": DOWN}, DEGRADED),
    ("by REST", says("ws_daemon", state="degraded", source="premiumIndex"), {"feed": DEGRADED}, DEGRADED),
    ("mute", says("ws_daemon", state="stalled", detail="mute"), {"feed": DOWN}, DEGRADED),
    ("one connection", says("ws_daemon", connections="1"), {"feed": DEGRADED}, DEGRADED),
    ("no volumes", says("ws_daemon", volumes="ticker24h"), {"feed": DEGRADED}, DEGRADED),
    ("a stale mark", lambda w: w.mark_age_s.update(ETHUSDT=60), {"marks": DEGRADED}, DEGRADED),
    ("all stale", lambda w: w.mark_age_s.update(dict.fromkeys(w.universe, 60)), {"marks": DOWN}, DEGRADED),
    ("no marks", change(mark_age_s={}), {"marks": DOWN}, DEGRADED),
    ("no universe", change(universe=set()), {"universe": DOWN}, DEGRADED),
    ("universe foreign", says("publisher", universeVerdict="FOREIGN"), {"universe": DEGRADED}, DEGRADED),
    ("universe sent", says("publisher", universeVerdict="CHANGED", universeWhy="x"), {"universe": GOOD}, GOOD),
    ("poller dead", kill("oi_poller"), {"sweep": DOWN, "budget": UNKNOWN}, DEGRADED),
    ("failures", change(failures={"BTCUSDT": "timeout"}), {"sweep": DEGRADED}, DEGRADED),
    ("left out", change(left_out={"ETHUSDT": "stale_mark"}), {"join": DEGRADED}, DEGRADED),
    ("just left", change(left_out={"ETHUSDT": "not_in_universe"}), {"join": GOOD}, GOOD),
    ("backend away", says("publisher", state="degraded", blocked="away: 502"), {"delivery": DEGRADED}, DEGRADED),
    ("no sweep", says("publisher", state="degraded", detail="no sweep"), {"delivery": GOOD}, GOOD),
    ("starting", says("publisher", state="starting"), {"delivery": DEGRADED}, DEGRADED),
    ("backlog", says("publisher", backlog="9"), {"delivery": DEGRADED}, DEGRADED),
    ("publisher dead", kill("publisher"), {"delivery": DOWN, "join": UNKNOWN, "served": UNKNOWN}, UNKNOWN),
    ("old", change(batch_age_s=90), {"served": DOWN}, DOWN),
    ("partial", judges("PARTIAL", "3"), {"served": DEGRADED, "delivery": GOOD}, DEGRADED),
    ("43 of 343", judges("PARTIAL", "1"), {"served": DOWN}, DOWN),
    ("foreign", judges("FOREIGN", "3"), {"served": DEGRADED}, DEGRADED),
    ("unaudited", says("publisher", verdict="UNAUDITED", served="unknown"), {"served": UNKNOWN}, UNKNOWN),
    ("alerter never ran", kill("oi_alerter"), {"alerts": OFF}, GOOD),
    ("alerter ill", says("oi_alerter", state="degraded"), {"alerts": DEGRADED}, DEGRADED),
    ("stretched", says("oi_poller", interval_s="61.5"), {"budget": DEGRADED}, DEGRADED),
    ("no funding API", kill("funding_api"), {"funding": OFF}, GOOD),
    ("funding API ill", says("funding_api", state="degraded"), {"funding": DEGRADED}, DEGRADED),
    ("keeper never ran", kill("oi_keeper"), {"history": OFF}, GOOD),
    ("keeper ill", says("oi_keeper", state="degraded"), {"history": DEGRADED}, DEGRADED),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected", "overall"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_the_hop_at_fault_is_named(
    redis: Redis, spoil: Callable[[World], object], expected: dict[str, str], overall: str
) -> None:
    world = World()
    spoil(world)

    found = await judged(world, redis)

    assert {hop: hops(found)[hop] for hop in expected} == expected
    assert found.state == overall
    assert all(hop.cause for hop in found.hops if hop.state != GOOD), found
    for hop in found.hops:  # a time at which another state began would be read as that of this one
        told = world.beats.get(TOLD_BY.get(hop.hop, ""), {}).get("state", "")
        assert (hop.since is not None) == (told != "" and (told == "ok") == (hop.state == GOOD)), hop
    for beat in world.beats.values():
        beat["detail"] = "FOREIGN: no sweep has landed; waiting for Redis: banned"
    assert hops(await judged(world, redis)) == hops(found), "what a service says in prose changed a verdict"


async def test_where_nothing_was_sent_no_other_is_blamed_for_what_is_served(redis: Redis) -> None:
    world = World()
    judges("PARTIAL", "unknown")(world)
    says("publisher", sent="0")(world)
    served = next(hop for hop in (await judged(world, redis)).hops if hop.hop == "served")

    assert (served.state, served.cause) == (DEGRADED, "nothing was fit to be sent: what is served grows old")


@pytest.mark.parametrize(("ago_s", "state"), [(300, DEGRADED), (1000, GOOD)])
async def test_another_writer_of_the_universe_is_told_of_while_it_may_come_again(
    redis: Redis, ago_s: int, state: str
) -> None:
    world = World()
    world.beats["publisher"] |= {"universeVerdict": "VERIFIED", "universeForeignAt": iso(world.now_ms - ago_s * 1000)}

    found = {hop.hop: hop for hop in (await judged(world, redis)).hops}

    assert found["universe"].state == state
    assert ("another writer" in found["universe"].cause) is (state == DEGRADED)


async def test_what_the_publisher_says_of_universe_and_alerts_is_told(redis: Redis) -> None:
    world = World()
    world.beats["publisher"] |= {"universeVerdict": "HELD_BACK", "universeWhy": "it shrank from 40 to 35"}
    world.learnt["alerts_in_doubt"] = "2"

    found = {hop.hop: hop for hop in (await judged(world, redis)).hops}

    assert found["universe"].cause == "at the backend HELD_BACK: it shrank from 40 to 35"
    assert "2 in doubt and not sent again" in found["alerts"].counts


@pytest.mark.parametrize(("ago_s", "state"), [(300, DEGRADED), (1000, GOOD)])
async def test_another_writer_between_two_batches_is_told_of_while_it_may_come_again(
    redis: Redis, ago_s: int, state: str
) -> None:
    world = World()
    world.beats["publisher"] |= {"foreignAt": iso(world.now_ms - ago_s * 1000), "foreignSymbols": "3"}

    found = next(hop for hop in (await judged(world, redis)).hops if hop.hop == "served")

    assert found.state == state
    assert ("another writer's values were served, of 3 symbols" in found.cause) is (state == DEGRADED)


WHYS = [
    ("PARTIAL", "4", {}, "served, not stored: the backend's database took 0 of 4 rows"),
    ("UNVERIFIED", "unknown", {}, "could not read back: the public GET is stopped by a bot wall"),
    (
        "PARTIAL",
        "0",
        dict.fromkeys(World().universe, "unreadable"),
        "4 unreadable (BTCUSDT, ETHUSDT, SOLUSDT and 1 more)",
    ),
]


@pytest.mark.parametrize(("verdict", "served", "rows", "told"), WHYS, ids=["not stored", "walled", "unreadable"])
async def test_why_a_cycle_is_not_verified_is_told(
    redis: Redis, verdict: str, served: str, rows: dict[str, str], told: str
) -> None:
    """ "Not everything is served as it was sent" beside "4 of 4 served as sent" sends a person to the wrong place."""
    world = World()
    world.served |= rows
    judges(verdict, served)(world)
    world.beats["publisher"]["why"] = told

    hop = next(hop for hop in (await judged(world, redis)).hops if hop.hop == "served")

    assert hop.state == (DOWN if rows else DEGRADED)
    assert told in hop.cause


async def test_a_ban_is_told_with_its_end(redis: Redis) -> None:
    world = World()
    world.ban_ms = world.now_ms + 60_000
    found = await judged(world, redis)

    assert hops(found)["budget"] == DOWN
    assert "nothing may be sent to the exchange" in next(hop.cause for hop in found.hops if hop.hop == "budget")


async def test_an_empty_redis_is_no_reason_to_fail(redis: Redis) -> None:
    found = status(await read(redis), SETTINGS, "a test")
    assert (found.state, found.exit_status) == (UNKNOWN, 3)


async def test_rows_that_cannot_be_read_cost_only_themselves(redis: Redis) -> None:
    await World().write(redis)
    for key in ("oi:mark", "oi:universe", "oi:contracts", "oi:served"):
        await redis.hset(key, "BTCUSDT", "{")
    await redis.hset("oi:mark", b"\xff\xfe", "{")
    await redis.hset("oi:publisher", mapping={"post_s": "soon", "post_status": "inf", "delivered": "1e400-0"})
    await redis.set("oi:ban", "tomorrow")

    seen = await read(redis)

    assert seen.unreadable == 4  # a key that is no text is one; of BTCUSDT, in no universe now, no mark is read
    assert "ETHUSDT" in seen.universe
    assert seen.ban_ms == 0


FIELDS = (
    "state",
    "served",
    "universe",
    "backlog",
    "ghosts",
    "verdict",
    "connections",
    "interval_s",
    "lastSuccess",
    "batch",
)


@given(st.dictionaries(st.sampled_from(SERVICES), st.dictionaries(st.sampled_from(FIELDS), st.text())))
def test_any_heartbeats_have_a_status(beats: dict[str, dict[str, str]]) -> None:
    """Another version, or a hand, may have written them."""
    found = status(Snapshot(0, beats=beats), SETTINGS, "a test")
    assert found.state in {DOWN, UNKNOWN}


def test_without_redis_the_services_speak_for_themselves() -> None:
    ok, bad = {"state": "ok", "detail": "d"}, {"state": "degraded", "detail": "waiting for Redis"}
    assert without_redis("refused", {"publisher": bad}, 0, "s").exit_status == 2
    assert without_redis("refused", {"publisher": ok}, 0, "s").exit_status == 3
    assert without_redis("refused", {"publisher": None, "ws_daemon": bad}, 0, "s").exit_status == 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (119, "119s"), (121, "2m"), (7300, "2h"), (2e5, "2d")],
)
def test_ages_are_short(value: float | None, shown: str) -> None:
    assert age(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (7_661_501_742.1, "7.66B"),
        (999.4, "999"),
        (999.6, "1.00K"),
        (999_600_000, "1.00B"),
        (99.96, "100"),
        (1000, "1.00K"),
        (12_345_678, "12.3M"),
        (0.5, "0.500"),
    ],
)
def test_amounts_are_short(value: float | None, shown: str) -> None:
    assert money(value) == shown


@given(st.floats(0.01, 1e16))
def test_an_amount_is_never_in_powers_of_ten(value: float) -> None:
    """999.6 million were shown as 1.00e+03M."""
    shown = money(value)
    assert len(shown) <= 6
    unit = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(shown[-1], 1)
    assert float(shown.rstrip("KMBT")) * unit == pytest.approx(value, rel=0.00501)
    assert "e" not in shown


async def test_a_proxy_is_named_and_its_ban_is_the_one_that_counts(redis: Redis) -> None:
    """What the exchange bans is the address that it sees."""
    world = World()
    for service in ("ws_daemon", "oi_poller"):
        world.beats[service]["proxy"] = "proxy.test:3128"
    await world.write(redis)
    until_ms = world.now_ms + 60_000
    await redis.set("oi:ban:proxy.test:3128", until_ms)

    seen = await read(redis, egress="proxy.test:3128")
    hops = {hop.hop: hop for hop in status(seen, SETTINGS, "here").hops}

    assert (seen.ban_ms, (await read(redis)).ban_ms) == (until_ms, 0)
    assert hops["feed"].counts.endswith(", through proxy.test:3128")
    assert hops["sweep"].counts.endswith(", through proxy.test:3128")
