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
from tests.cli.world import SERVICES, SYMBOLS, World

SETTINGS = find({"REDIS_URL": "redis://h"}).settings
Spoil = Callable[[World], object]


async def judged(world: World, redis: Redis) -> Status:
    return status(await world.seen(redis), SETTINGS, "a test")


def hops(found: Status) -> dict[str, str]:
    return {hop.hop: hop.state for hop in found.hops}


async def test_all_is_well(redis: Redis) -> None:
    found = await judged(World(), redis)

    assert set(hops(found).values()) == {GOOD}
    assert (found.state, found.exit_status) == (GOOD, 0)
    assert len(found.hops) == 11


def kill(service: str) -> Spoil:
    return lambda world: world.beats.pop(service)


def says(service: str, **fields: str) -> Spoil:
    return lambda world: world.beats[service].update(fields)


def judges(verdict: str, served: str) -> Spoil:
    return says("publisher", state="degraded", detail=f"{verdict}: {served} served", verdict=verdict, served=served)


def change(**parts: object) -> Spoil:
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

CASES: list[tuple[str, Spoil, dict[str, str], str]] = [
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
async def test_the_hop_at_fault_is_named(redis: Redis, spoil: Spoil, expected: dict[str, str], overall: str) -> None:
    world = World()
    spoil(world)

    found = await judged(world, redis)

    assert {hop: hops(found)[hop] for hop in expected} == expected
    assert found.state == overall
    assert all(hop.cause for hop in found.hops if hop.state != GOOD), found
    for hop in found.hops:  # a time at which another state began would be read as that of this one
        told = world.beats.get(TOLD_BY.get(hop.hop, ""), {}).get("state", "")
        assert (hop.since is not None) == (told != "" and (told == "ok") == (hop.state == GOOD)), hop
    for prose in ("FOREIGN: no sweep has landed; waiting for Redis: banned", ""):
        for beat in world.beats.values():
            beat["detail"] = prose
        assert hops(await judged(world, redis)) == hops(found), "what a service says in prose changed a verdict"


def all_of(*spoils: Spoil) -> Spoil:
    return lambda world: [spoil(world) for spoil in spoils]


def all_served(word: str) -> Spoil:
    return change(served=dict.fromkeys(SYMBOLS, word))


def banned(world: World) -> None:
    world.ban_ms = world.now_ms + 60_000


def foreign(fact: str, ago_s: int, **more: str) -> Spoil:
    return lambda world: world.beats["publisher"].update(
        {fact: iso(world.now_ms - ago_s * 1000), "foreignSymbols": "3", **more}
    )


UNSTORED = "served, not stored: the backend's database took 0 of 4 rows"
UNREADABLE = "4 unreadable (BTCUSDT, ETHUSDT, SOLUSDT and 1 more)"
UNSENT = "nothing was fit to be sent: what is served grows old"
SHRANK = {"universeVerdict": "HELD_BACK", "universeWhy": "it shrank"}
WALLED = "could not read back: the public GET is stopped by a bot wall"
TOLD: list[tuple[str, Spoil, str, str, str]] = [
    ("not stored", all_of(judges("PARTIAL", "4"), says("publisher", why=UNSTORED)), "served", DEGRADED, UNSTORED),
    ("walled", all_of(judges("UNVERIFIED", "unknown"), says("publisher", why=WALLED)), "served", DEGRADED, WALLED),
    ("unreadable", all_of(judges("PARTIAL", "0"), all_served("unreadable")), "served", DOWN, UNREADABLE),
    ("nothing sent", all_of(judges("PARTIAL", "unknown"), says("publisher", sent="0")), "served", DEGRADED, UNSENT),
    ("cached", says("publisher", cacheAgeS="7"), "served", GOOD, "what is served comes from a cache, 7 s old"),
    ("overwritten", foreign("foreignAt", 300), "served", DEGRADED, "another writer's values were served, of 3 symbols"),
    ("driven out", foreign("foreignAt", 300, foreignGone="277"), "served", DEGRADED, "and 277 of ours were not"),
    ("overwritten long ago", foreign("foreignAt", 1000), "served", GOOD, "VERIFIED"),
    ("replaced", foreign("universeForeignAt", 300), "universe", DEGRADED, "another writer replaced it at the backend"),
    ("replaced long ago", foreign("universeForeignAt", 1000), "universe", GOOD, "4 symbols"),
    ("held back", says("publisher", **SHRANK), "universe", DEGRADED, "at the backend HELD_BACK: it shrank"),
    ("a row refused", says("publisher", stored="3", sent="4"), "delivery", DEGRADED, "database took 3 of 4 rows"),
    ("slow", change(learnt={"post_s": "18.1"}), "delivery", DEGRADED, "takes 18.1 s, and sweeps land every 10.2 s"),
    ("in doubt", change(learnt={"alerts_in_doubt": "2"}), "alerts", GOOD, "2 in doubt and not sent again"),
    ("banned", banned, "budget", DOWN, "nothing may be sent to the exchange"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "hop", "state", "told"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
async def test_what_is_wrong_is_told(redis: Redis, spoil: Spoil, hop: str, state: str, told: str) -> None:
    """A wrong reason, such as "not everything is served" beside "4 of 4 served", sends a person to the wrong place."""
    world = World()
    spoil(world)

    found = next(found for found in (await judged(world, redis)).hops if found.hop == hop)

    assert found.state == state
    assert told in f"{found.counts}; {found.cause}"
    assert bool(found.cause) == (state != GOOD)


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


FIELDS = [
    *("state", "served", "universe", "backlog", "ghosts"),
    *("verdict", "connections", "interval_s", "lastSuccess", "batch"),
]


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
