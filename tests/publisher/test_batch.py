"""One batch: its rows, its pieces, what is served of it, and what another POST can heal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from aiohttp import web

from services.publisher.limits import AGAIN_MS
from tests.publisher.desk import INGEST, READ, SYMBOLS, Desk
from tests.publisher.loopback import reset

Make = Callable[..., Desk]


async def test_accepted_and_lost_is_posted_again(desk: Make) -> None:
    one = desk()
    await one.cycle()
    one.node.loses = 1

    assert await one.cycle() == "VERIFIED"

    assert one.node.stored() == one.timestamps()
    assert one.duplicates == 1


@pytest.mark.parametrize("at_rest", [False, True])
async def test_accepted_and_lost_is_not_posted_for_ever(desk: Make, at_rest: bool) -> None:
    """With one value as it was in the batch before, a backend that loses all was sent every batch four times."""
    one = desk()
    await one.cycle()
    one.node.loses = 10_000

    def shows(cache: dict[str, Any], as_of_ms: int | None) -> tuple[dict[str, Any], int | None]:
        row = one.loopback.posts()[-1]["data"][0]
        return cache | ({row["symbol"]: row["openInterestUsd"]} if at_rest else {}), as_of_ms

    one.node.shows = shows
    for _ in range(3):
        assert await one.cycle() == "PARTIAL"

    assert len(one.node.sizes) == 1 + 3 + 3  # three sweeps, and three repetitions in all
    assert f"{20 - at_rest} still served with an earlier value" in one.service.health.report().detail
    assert one.duplicates == 3


async def test_pieces_into_a_replacing_backend_heal_into_single_batches(desk: Make) -> None:
    """The incident itself: pieces replace one another, and only the last is served."""
    one = desk(BACKEND_MAX_ROWS="7")
    one.node.replaces = True

    for _ in range(2):
        assert await one.cycle() == "VERIFIED"

    assert one.node.sizes == [7, 7, 6, 20, 20]
    assert (one.duplicates, one.fact("backendMerges")) == (1, "no")


async def test_pieces_that_are_served_side_by_side_show_that_the_backend_merges(desk: Make) -> None:
    """`oi doctor` says that pieces teach it; behind a size limit there may be nothing else for days."""
    one = desk()
    one.node.most_rows = 13

    assert await one.cycle() == "VERIFIED"

    assert one.fact("backendMerges") == "yes"


async def test_one_lagging_look_teaches_nothing(desk: Make) -> None:
    one = desk(BACKEND_MAX_ROWS="10")
    await one.cycle()
    looks = 0

    async def lagging(request: web.Request) -> web.StreamResponse:
        nonlocal looks
        looks += 1
        if looks != 2:  # the first is before the POST
            return await one.node.read(request)
        last = {row["symbol"]: row["openInterestUsd"] for row in one.loopback.posts()[-1]["data"]}
        return web.json_response({"data": last, "asOf": one.node.as_of_ms})

    one.loopback.answers[READ] = lagging
    assert await one.cycle() == "VERIFIED"

    assert one.node.sizes == [10, 10, 10, 10]
    assert one.fact("backendMerges") != "no"


async def test_a_replacing_backend_with_a_size_limit_keeps_the_largest(desk: Make) -> None:
    """When not all can be served it is the majors that must be; and nobody is told that all is well."""
    one = desk(BACKEND_MAX_ROWS="10")
    one.node.replaces, one.node.most_rows = True, 15

    for _ in range(4):
        verdict = await one.cycle()

    assert verdict == "PARTIAL"
    assert set(one.node.cache) == set(SYMBOLS[-15:])
    assert "of 20 the 15 largest" in one.service.health.report().detail


async def test_a_mended_backend_is_noticed_and_never_served_less_while_trying(desk: Make) -> None:
    """A limit and a habit that were learned once were believed until somebody deleted oi:publisher."""
    one = desk(BACKEND_MAX_ROWS="10")
    one.node.replaces, one.node.most_rows = True, 15
    for _ in range(4):
        await one.cycle()
    one.clock.advance(AGAIN_MS / 1000)
    served = len(one.node.cache)
    await one.cycle()
    assert len(one.node.cache) == served  # it tried, and still it replaces

    one.node.replaces, one.node.most_rows = False, 10_000
    one.clock.advance(AGAIN_MS / 1000)
    for _ in range(2):
        await one.cycle()

    assert await one.cycle() == "VERIFIED"
    assert set(one.node.cache) == set(SYMBOLS)
    one.clock.advance(AGAIN_MS / 1000)
    await one.cycle(symbols=SYMBOLS[:-1])
    assert one.fact("backendMerges") == "yes"
    await one.cycle()
    assert one.node.sizes[-2:] == [10, 10]  # BACKEND_MAX_ROWS is obeyed again


async def test_what_was_learned_is_tried_again_after_the_backend_was_away(desk: Make) -> None:
    one = desk()
    one.node.most_rows = 12
    await one.cycle()
    one.node.most_rows = 10_000
    one.node.answers = [502]
    await one.cycle()

    await one.cycle()

    assert one.node.sizes[-1] == len(SYMBOLS)


async def test_a_size_limit_is_remembered_over_a_restart(desk: Make) -> None:
    one = desk()
    one.node.most_rows = 13
    for _ in range(4):
        await one.cycle()
    found = len(one.node.sizes)
    one.restart()

    assert await one.cycle() == "VERIFIED"

    assert max(one.node.sizes[found:]) == 13


@pytest.mark.parametrize("tells", [True, False])
async def test_what_a_cache_before_the_backend_serves_is_waited_for_and_not_posted_again(
    desk: Make, tells: bool
) -> None:
    """A cached GET was taken for lost batches: ten POSTs for five sweeps. Many a cache does not say that it is one."""
    one = desk()
    await one.cycle()
    one.node.ttl_s, one.node.tells = 12.0, tells
    verdicts = [await one.cycle() for _ in range(6)]

    assert one.node.sizes == [len(SYMBOLS)] * 7
    assert set(verdicts) == {"VERIFIED"}
    assert one.duplicates == 0


@pytest.mark.parametrize("tells", [True, False])
async def test_what_only_a_cache_hides_is_said_and_is_no_bad_sign_at_once(desk: Make, tells: bool) -> None:
    one = desk(VERIFIED_MAX_AGE_SEC="60")
    await one.cycle()
    one.node.ttl_s, one.node.tells = 10_000.0, tells
    await one.cycle()  # the cache takes what is served now
    one.node.answers = []
    verdict = await one.cycle()

    assert verdict == "UNVERIFIED"
    assert "comes from a cache, " in one.fact("why")
    assert int(one.fact("cacheAgeS")) > 0
    assert one.count("pipeline_served_cache_age_seconds") > 0
    await one.cycle()
    assert not one.service.health.report().healthy


async def test_a_batch_in_doubt_behind_a_cache_is_not_posted_again(desk: Make) -> None:
    one = desk()
    await one.cycle()
    one.node.ttl_s = 12.0
    await one.cycle()
    one.node.answers = ["taken"]

    await one.cycle()

    assert one.node.stored() == one.timestamps()


async def test_two_instances_with_a_cache_each_are_named(desk: Make) -> None:
    one = desk()
    await one.cycle()
    old, is_old = dict(one.node.cache), cycle([False, True])
    one.node.shows = lambda cache, at: (old, one.clock.now_ms() - 10_000) if next(is_old) else (cache, at)
    assert await one.cycle() == "PARTIAL"

    assert "two backend instances" in one.fact("why")
    assert len(one.node.sizes) == 2


async def test_a_second_writer_is_foreign(desk: Make) -> None:
    one = desk()
    await one.cycle()
    truth = one.node.shows
    one.node.shows = lambda cache, at: ({**cache, "S01USDT": 5.0, "XYZUSDT": 7.0}, at)

    assert await one.cycle() == "FOREIGN"
    assert "2 served with values nobody here sent (S01USDT,XYZUSDT)" in one.service.health.report().detail
    one.node.shows = truth
    assert await one.cycle() == "VERIFIED"


async def test_a_batch_that_no_look_showed_is_ours_after_a_kill(desk: Make) -> None:
    """The public endpoint was not readable, the publisher was killed, and a symbol of that batch has no mark now."""
    one = desk()
    await one.cycle()
    one.loopback.answer(*READ, 500)
    assert await one.cycle() == "UNVERIFIED"
    one.restart()
    one.loopback.answers[READ] = one.node.read

    assert await one.cycle(without=SYMBOLS[0]) == "VERIFIED"


async def test_a_batch_that_made_way_is_ours_after_a_kill(desk: Make) -> None:
    """Its POST takes effect when nobody expects it any more."""
    one = desk()
    one.node.post_s = 9.0  # no time for a late sweep
    await one.cycle()
    one.node.answers = [502]
    await one.land_next()
    await one.step()
    doubted = {row["symbol"]: row["openInterestUsd"] for row in one.loopback.posts()[-1]["data"]}
    one.clock.advance(30)
    await one.land()
    await one.until_delivered()
    one.restart()
    await one.step()

    one.node.shows = lambda cache, at: ({**cache, SYMBOLS[1]: doubted[SYMBOLS[1]]}, at)

    assert await one.cycle() == "PARTIAL"
    assert "still served with an earlier value" in one.fact("why")


@pytest.mark.parametrize(("replaced", "gone"), [(False, "0"), (True, "19")])
async def test_a_second_writer_is_seen_between_two_batches(desk: Make, replaced: bool, gone: str) -> None:
    """Right after a POST of ours, ours is served: all was VERIFIED while another's values stood most of the time.

    However late in the interval it writes; and where its batch replaces the cache, the others of ours are not served.
    """
    one = desk()
    await one.cycle()
    one.clock.advance(9.9)
    await one.step()
    one.node.cache = {"S01USDT": 5.0} if replaced else {**one.node.cache, "S01USDT": 5.0}

    assert await one.cycle() == "VERIFIED"

    assert (one.fact("foreignSymbols"), one.fact("foreignGone")) == ("1", gone)
    assert one.count("pipeline_foreign_looks_total") == 1, "it tells of it though this cycle is verified again"
    assert one.service.health.report().healthy


@pytest.mark.parametrize("tells", [True, False])
async def test_a_cache_hides_no_second_writer(desk: Make, tells: bool) -> None:
    """And the look for one leaves nothing in the cache that would hide the next batch."""
    one = desk()
    await one.cycle()
    one.node.ttl_s, one.node.tells = 5.0, tells
    await one.cycle()
    one.node.cache = {**one.node.cache, "S01USDT": 5.0}
    one.clock.advance(10)
    await one.land()
    begun_s = one.clock.monotonic_s()
    await one.until_delivered()

    assert (one.verdict, one.fact("foreignSymbols")) == ("VERIFIED", "1")
    assert one.clock.monotonic_s() - begun_s < 1


async def test_between_two_batches_it_is_looked_once_and_what_is_ours_is_no_other_writers(desk: Make) -> None:
    """What a symbol that left is served with, and an earlier batch whose POST took effect late, are ours."""
    one = desk()
    await one.cycle()
    earlier = one.node.cache["S01USDT"]
    await one.cycle(symbols=SYMBOLS[:-1])
    one.node.cache = {**one.node.cache, "S01USDT": earlier}
    begun = len(one.loopback.requests)

    await one.cycle(symbols=SYMBOLS[:-1])

    assert [(asked.method, asked.path) for asked in one.loopback.requests[begun:]] == [READ, INGEST, READ]
    assert one.fact("foreignAt") == ""


@pytest.mark.parametrize("fault", ["500", "html", "wall", "reset"])
async def test_what_cannot_be_read_back_is_unverified(desk: Make, fault: str) -> None:
    one = desk()
    await one.cycle()
    answers = {
        "500": (500, b'{"error":"x"}'),
        "html": (200, b"<html>sign in</html>"),
        "wall": (403, b"<html>Just a moment</html>"),
    }
    if fault in answers:
        one.loopback.answer(*READ, *answers[fault])
    else:
        one.loopback.answers[READ] = reset

    assert await one.cycle() == "UNVERIFIED"

    assert "could not read back" in one.fact("why")
    assert ("bot wall" in one.fact("why") or "its edge" in one.fact("why")) == (fault == "wall")
    assert "API_KEY" not in one.fact("why")
    assert len(one.node.sizes) == 2


async def test_a_doubt_that_nothing_readable_can_settle_ends(desk: Make) -> None:
    one = desk()
    await one.cycle()
    one.loopback.answer(*READ, 500)
    one.node.answers = [502]

    assert await one.cycle() == "UNVERIFIED"

    assert len(one.node.sizes) == 3
    assert one.duplicates == 1


async def test_without_an_audit_every_cycle_says_so(desk: Make) -> None:
    one = desk(BACKEND_AUDIT="off")
    one.loopback.answer(*READ, 404)
    one.node.answers = [200, 502]

    for _ in range(2):
        assert await one.cycle() == "UNAUDITED"
    assert one.service.health.report().healthy


@pytest.mark.parametrize("switch", ["on", "off"])
async def test_funding_is_sent_unless_it_is_switched_off(desk: Make, switch: str) -> None:
    one = desk(BACKEND_SEND_FUNDING=switch)
    await one.cycle()

    assert {"fundingRate" in row for row in one.loopback.posts()[-1]["data"]} == {switch == "on"}


async def test_a_symbol_without_a_mark_is_named_and_never_sent(desk: Make) -> None:
    """BTC at $0.00: a symbol without a price was posted all the same."""
    one = desk()

    assert await one.cycle(without="S03USDT") == "VERIFIED"

    assert "S03USDT" not in one.node.cache
    assert await one.redis.hgetall("oi:left_out") == {b"S03USDT": b"missing_mark"}


async def test_a_sweep_without_a_single_row_is_no_success(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.redis.delete("oi:mark")
    one.clock.advance(100)
    await one.land(symbols=SYMBOLS)
    await one.redis.delete("oi:mark")
    await one.until_delivered()

    assert one.verdict == "PARTIAL"
    assert "nothing was fit to be sent" in one.fact("why")
    assert len(one.node.sizes) == 1


async def test_an_as_of_that_stands_still_is_partial(desk: Make) -> None:
    """The dashboard judges freshness by asOf: right values under an old one are shown as stale."""
    one = desk()
    await one.cycle()
    stale = one.node.as_of_ms
    one.node.shows = lambda cache, _: (cache, stale)

    assert await one.cycle() == "PARTIAL"
    assert "asOf" in one.fact("why")
