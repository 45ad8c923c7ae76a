"""The life of one number: the first hop that fails it is blamed, in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cli.explain import Explained, explain, resolve, unknown
from cli.outside import Live
from cli.settings import find
from cli.state import Snapshot
from cli.status import status
from shared.model import Sweep
from tests.cli.world import World

SETTINGS = find({"REDIS_URL": "redis://h"}).settings
ETH = "ETHUSDT"
Spoil = Callable[[World], object]


async def asked(world: World, redis: Redis, live: Live | str | None = None) -> Explained:
    return explain(ETH, await world.seen(redis, wanted=[ETH], sweeps=20), SETTINGS, live)


async def test_a_right_number_is_said_to_be_right(redis: Redis) -> None:
    world = World()
    found = await asked(world, redis, Live({ETH: world.usd(ETH)}, None))

    assert (found.state, found.exit_status, found.fault) == ("good", 0, "")
    assert found.answer.startswith("ETHUSDT is right: $100K, served as it was sent, 2")
    assert [hop.hop for hop in found.hops] == ["price", "mark", "universe", "reply", "join", "batch", "post", "served"]
    assert found.hops[6].counts.endswith("(HTTP 200)")


def out(world: World, reason: str, served: str = "") -> None:
    """Left out of the last batch; a merging backend may keep the old value."""
    world.left_out[ETH] = reason
    world.served.pop(ETH)
    if served:
        world.served[ETH] = served


def stale(world: World) -> None:
    world.mark_age_s[ETH] = 60
    out(world, "stale_mark")


def all_stale(world: World) -> None:
    world.mark_age_s = dict.fromkeys(world.universe, 60.0)
    out(world, "stale_mark")


def feed_dead(world: World) -> None:
    del world.beats["ws_daemon"]
    all_stale(world)


def no_mark(world: World) -> None:
    del world.mark_age_s[ETH]
    out(world, "missing_mark")


def failed(reason: str) -> Spoil:
    def spoil(world: World) -> None:
        world.oi_age_s[ETH] = 90
        world.failures = {ETH: reason}
        out(world, "fetch_failed")

    return spoil


def zero(world: World) -> None:
    world.contracts[ETH] = "0"
    out(world, "zero_open_interest")


def gone(world: World) -> None:
    world.universe.remove(ETH)
    world.served.pop(ETH)


def delisted(world: World) -> None:
    gone(world)
    before = Sweep("before", world.now_ms - 20_000, world.now_ms - 19_000, {}, {ETH: "not_trading"})
    world.sweeps = [before, Sweep("last", world.now_ms - 3000, world.now_ms - 2000, {}, {"BTCUSDT": "timeout"})]


def unlisted(world: World) -> None:
    gone(world)
    world.beats["oi_poller"] |= {"delisted": f"AUSDT,{ETH}"}


def illiquid(world: World) -> None:
    gone(world)
    world.volume[ETH] = 1000


def banned(world: World) -> None:
    world.oi_age_s = dict.fromkeys(world.universe, 90.0)
    world.batch_age_s = 90
    world.ban_ms = world.now_ms + 60_000


def backend_away(world: World) -> None:
    world.batch_age_s = 90
    world.beats["publisher"] |= {"state": "degraded", "blocked": "the backend is away: 502 Bad Gateway"}


def word(verdict: str) -> Spoil:
    return lambda world: world.served.update({ETH: verdict})


def ok(_: World) -> None:
    """All is well."""


def behind_a_wall(world: World) -> None:
    world.beats["publisher"] |= {"verdict": "UNVERIFIED", "served": "unknown", "why": "could not read back: a bot wall"}


def missed_behind_a_wall(world: World) -> None:
    behind_a_wall(world)
    world.served[ETH] = "missing"


CASES: list[tuple[Spoil, str, str, int]] = [
    (stale, "mark", "the stream sends no usable price for it", 2),
    (no_mark, "mark", "it has no mark price", 2),
    (all_stale, "mark", "no fresh mark price for BTCUSDT, ETHUSDT, SOLUSDT and 1 more", 2),
    (feed_dead, "mark", "ws_daemon is not running", 2),
    (failed("timeout"), "reply", "the exchange did not answer in time", 2),
    (failed("server_error"), "reply", "a fault of its own (5xx)", 2),
    (zero, "reply", "its open interest is zero", 2),
    (delisted, "universe", "it does not trade (-4108)", 2),
    (unlisted, "universe", "the exchange no longer lists it as TRADING", 2),
    (illiquid, "universe", "its 24 h volume of $1.00K is under", 2),
    (gone, "universe", "OI_CONTRACT_TYPES", 2),
    (lambda w: out(w, "symbol_collision"), "join", "the same spelling", 2),
    (lambda w: out(w, "stale_mark", "kept"), "join", "stopped updating", 1),
    (banned, "reply", "nothing may be sent to the exchange", 1),
    (backend_away, "post", "502 Bad Gateway", 1),
    (lambda w: w.beats.pop("publisher"), "post", "publisher is not running", 1),
    (word("missing"), "served", "the backend took the batch and does not show this symbol", 2),
    (word("outdated"), "served", "an earlier value of ours", 1),
    (word("foreign"), "served", "another writer", 1),
    (word("unreadable"), "served", "in a form that is no number", 1),
]


@pytest.mark.parametrize(("spoil", "hop", "says", "exit_status"), CASES)
async def test_the_first_hop_that_failed_is_blamed(
    redis: Redis, spoil: Spoil, hop: str, says: str, exit_status: int
) -> None:
    world = World()
    spoil(world)

    found = await asked(world, redis)

    assert found.fault == hop, found
    assert says in found.answer
    assert found.exit_status == exit_status
    assert found.answer.startswith("ETHUSDT is missing: " if exit_status == 2 else "ETHUSDT is not to be trusted: ")
    assert found.look.startswith("journalctl -u oi-")
    for beat in world.beats.values():
        beat["detail"] = "all is well"
    again = await asked(world, redis)
    assert (again.fault, again.state, [hop.state for hop in again.hops]) == (
        found.fault,
        found.state,
        [hop.state for hop in found.hops],
    )


NOW: list[tuple[str, Spoil, Live | str, int, str]] = [
    ("lost", ok, Live({"BTCUSDT": 1.0}, None), 2, "showed it a moment ago and does no longer: it has lost its cache"),
    ("zero", ok, Live({ETH: 0.0}, None), 1, "$0.00 is served at this moment, and nobody here sent that"),
    ("another's", ok, Live({ETH: 5.0}, None), 1, "this moment, and nobody here sent that; $100K was seen served 2"),
    ("a younger batch, less", ok, Live({ETH: 95_200.0}, None), 0, "ETHUSDT is right: $95.2K"),
    ("a younger batch, more", ok, Live({ETH: 105_000.0}, None), 0, "ETHUSDT is right: $105K"),
    ("cannot be asked", ok, "502", 1, "trusted: the backend cannot be asked now: 502; $100K was seen served 2"),
    ("out of a cache", ok, Live({ETH: 100_150.0}, None, 9.0), 0, "what is served comes from a cache, 9.0s old"),
    ("there by now", missed_behind_a_wall, Live({ETH: 1e5}, None), 1, ": a bot wall; the backend serves $100K;"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "live", "exit_status", "says"), [case[1:] for case in NOW], ids=[c[0] for c in NOW])
async def test_what_is_served_now_counts_for_more_than_the_last_audit(
    redis: Redis, spoil: Spoil, live: Live | str, exit_status: int, says: str
) -> None:
    """A backend that restarted a moment ago has forgotten what it was seen to serve; another writer may have come."""
    world = World()
    spoil(world)

    found = await asked(world, redis, live)

    assert found.exit_status == exit_status, found
    assert found.fault == ("served" if exit_status else "")
    assert says in f"{found.answer}; {found.hops[-1].counts}"


async def test_while_the_backend_is_away_nothing_is_said_to_be_right(redis: Redis) -> None:
    """In its first minute too: what was seen served before is nowhere to be read now."""
    world = World()
    world.beats["publisher"] |= {"state": "degraded", "blocked": "the backend is away: 502"}
    found = await asked(world, redis, "502")

    assert (found.state, found.exit_status, found.fault) == ("degraded", 1, "post")
    assert "is not to be trusted: the backend is away: 502; $100K was seen served 2" in found.answer


@pytest.mark.parametrize("live", [None, Live({ETH: 100_150.0}, None)])
async def test_where_nobody_audits_nothing_is_said_to_be_right_or_missing(redis: Redis, live: Live | None) -> None:
    """As `oi status` says; what an audit saw before it was turned off may be of last year."""
    world = World()
    world.beats["publisher"] |= {"verdict": "UNAUDITED", "served": "unknown"}
    found = await asked(world, redis, live)

    assert found.exit_status == status(await world.seen(redis), SETTINGS, "a test").exit_status == 3
    assert "BACKEND_AUDIT=off" in found.answer
    stale(world)
    assert (await asked(world, redis, live)).exit_status == (1 if live else 2)


@pytest.mark.parametrize("live", [None, "HTTP 403", Live({ETH: 5.0}, None)])
async def test_what_the_last_audit_could_not_see_is_not_said_to_be_right(redis: Redis, live: Live | str | None) -> None:
    """Every cycle is UNVERIFIED then, and ``oi:served`` tells of the last one before."""
    world = World()
    behind_a_wall(world)

    found = await asked(world, redis, live)

    assert (found.state, found.exit_status, found.fault) == ("degraded", 1, "served")
    assert "is not to be trusted: could not read back: a bot wall; $100K was seen served 2" in found.answer
    assert "as sent" not in found.hops[-1].counts


async def test_a_carried_value_is_still_right(redis: Redis) -> None:
    world = World()
    world.failures = {ETH: "timeout"}
    found = await asked(world, redis)
    assert (found.exit_status, found.hops[3].state) == (0, "degraded")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ETHUSDT", ETH), ("eth", ETH), (" ethusdt ", ETH), ("ETH-USDT", ETH), ("eth/usdt", ETH), ("龙虾", "龙虾USDT")],
)
async def test_a_symbol_is_found_as_people_write_it(redis: Redis, typed: str, meant: str) -> None:
    assert resolve(typed, await World().seen(redis)) == (meant, [])


async def test_an_unknown_symbol_gets_the_nearest_names(redis: Redis) -> None:
    symbol, near = resolve("EHTUSDT", await World().seen(redis))
    found = unknown("EHTUSDT", near)
    assert symbol == ""
    assert near[0] == ETH
    assert found.exit_status == 3
    assert "did you mean ETHUSDT" in found.answer


LISTED = frozenset({"BTCUSDT", ETH})
KNOWN = Snapshot(0, listed=LISTED)


@given(st.text())
def test_whatever_is_typed_has_an_answer(typed: str) -> None:
    symbol, near = resolve(typed, KNOWN)
    assert symbol == "" or symbol in LISTED
    assert unknown(typed, near).exit_status == 3
