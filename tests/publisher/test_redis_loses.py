"""What becomes of sweeps where Redis is away, emptied, set back or another server; and of what retention took."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio.client import Pipeline

from dev.redis_server import EmbeddedRedis
from services.publisher import outbox
from shared import store
from tests.fakes import FakeClock
from tests.publisher.desk import INGEST, SYMBOLS, Desk
from tests.publisher.loopback import Loopback
from tests.redis_servers import servers

Make = Callable[..., Desk]


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_waits_and_disappears_is_lost_and_said(desk: Make, restarts: bool) -> None:
    """Also while nobody looks."""
    one = desk()
    await one.cycle()
    await one.outage(4)
    await one.redis.delete("oi:sweeps")
    if restarts:
        one.restart()

    assert await one.cycle() == "VERIFIED"

    assert one.count("pipeline_lost_sweeps_total", cause="deleted") == 4


@pytest.mark.parametrize("lands_first", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_redis_that_came_back_with_what_it_held_earlier(desk: Make, restarts: bool, lands_first: bool) -> None:
    """As from a snapshot of a minute ago: what was delivered since goes out no second time, and nobody is accused.

    Also where it is looked at before the next sweep lands: all that it holds is older than what was delivered.
    """
    one = desk()
    await one.cycle()
    await one.outage(1)
    held = {key: await one.redis.dump(key) for key in ("oi:sweeps", "oi:publisher", "oi:served")}
    await one.cycle(symbols=("LEFTUSDT", *SYMBOLS))
    posts = await one.cycle() and len(one.node.sizes)

    for key, blob in held.items():
        await one.redis.restore(key, 0, blob, replace=True)
    if restarts:
        one.restart()
    if not lands_first:
        await one.step()

    assert await one.cycle() == "VERIFIED"
    assert len(one.node.sizes) == posts + 1 + restarts  # a new process knows of the sweep that waited there, no more


async def test_a_redis_that_came_back_with_its_clock_set_back_too_delivers_what_lands(desk: Make) -> None:
    """As a machine does from a snapshot of itself: until that clock is right, all that lands is older than before."""
    one = desk()
    await one.outage(1)
    await one.cycle()
    await one.outage(1)
    held = {key: await one.redis.dump(key) for key in ("oi:sweeps", "oi:publisher", "oi:served")}
    for _ in range(3):
        await one.cycle()
    for key, blob in held.items():
        await one.redis.restore(key, 0, blob, replace=True)
    await one.step()
    one.clock.set_wall(-25)

    await one.cycle()
    await one.cycle()

    assert one.node.stored() == [*sorted(one.timestamps()[:-2]), *one.timestamps()[-2:]]


async def test_what_disappears_between_two_late_sweeps_is_lost_and_said(desk: Make) -> None:
    """The publisher ended there, by an exception."""
    one = desk()
    await one.cycle()
    await one.outage(4)
    await one.land_next()

    async def delete_and_take(request: web.Request) -> web.StreamResponse:
        await one.redis.delete("oi:sweeps")
        return await one.node.ingest(request)

    one.loopback.answers[INGEST] = delete_and_take
    await one.step()
    one.loopback.answers[INGEST] = one.node.ingest

    assert await one.cycle() == "VERIFIED"
    assert one.count("pipeline_lost_sweeps_total", cause="deleted") == 4


async def test_a_doubt_whose_sweep_disappeared_ends(desk: Make) -> None:
    """There is nothing any more to post again."""
    one = desk()
    await one.cycle()
    one.node.answers = [502]
    await one.land_next()
    await one.step()
    await one.redis.delete("oi:sweeps")
    for _ in range(3):
        await one.step()
        one.clock.advance(10)

    assert one.outbox.attempt is None
    assert not await one.redis.hexists("oi:publisher", "attempt")
    assert await one.cycle() == "VERIFIED"
    assert len(one.node.sizes) == 3


async def test_a_late_batch_in_doubt_waits_where_the_newest_disappeared(desk: Make) -> None:
    """As in a failover that lost the newest sweep: it was looked for again and again without a pause."""
    one = desk()
    await one.cycle()
    one.node.stores = False
    await one.cycle()
    one.node.stores = True
    await one.cycle()
    one.node.answers = [502]
    await one.land_next()
    await one.step()
    newest = one.outbox.waiting[-1]
    await one.redis.xack("oi:sweeps", "publisher", newest)
    await one.redis.xdel("oi:sweeps", newest)
    one.clock.advance(60)
    await one.step()
    asked = len(one.loopback.requests)

    for _ in range(5):
        await one.step()

    assert len(one.loopback.requests) == asked
    assert await one.cycle() == "VERIFIED"
    assert len(one.node.stored()) == 4
    assert one.duplicates == 1


@pytest.mark.parametrize("audit", ["on", "off"])
@pytest.mark.parametrize("happened", [False, True])
async def test_a_cycle_whose_end_cannot_be_written_is_not_gone_round_for_ever(
    desk: Make, monkeypatch: pytest.MonkeyPatch, audit: str, happened: bool
) -> None:
    """Redis failed at that write, and nothing newer landed: it looked at the backend again and again without a pause.

    It may have happened, and its answer been lost.
    """
    one = desk(BACKEND_AUDIT=audit)
    await one.cycle()
    one.node.shows = lambda cache, _: (cache, 5)  # another time than this batch's: nothing proves that it arrived
    execute, finish = Pipeline.execute, one.outbox.finish

    async def fail(pipe: Pipeline) -> None:
        if happened:
            await execute(pipe)
        raise ConnectionError

    async def failing(*args: Any, **how: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Pipeline, "execute", fail)
            await finish(*args, **how)

    with monkeypatch.context() as patch:
        patch.setattr(one.outbox, "finish", failing)
        await one.land_next()
        await one.step()

    for _ in range(5):
        if one.outbox.attempt is None:
            break
        await one.step()
    assert one.outbox.attempt is None
    asked = len(one.loopback.requests)
    await one.step()
    assert len(one.loopback.requests) == asked
    assert one.count("pipeline_lost_sweeps_total", cause="deleted") == 0


@pytest.mark.parametrize("how", ["lost", "lost and started anew", "set back"])
async def test_a_group_that_is_lost_or_set_back_repeats_nothing_and_forgets_nothing(desk: Make, how: str) -> None:
    one = desk()
    for _ in range(3):
        await one.cycle()
    await one.outage(3)
    if how == "set back":
        await one.redis.xgroup_setid("oi:sweeps", "publisher", "0")
    else:
        await one.redis.xgroup_destroy("oi:sweeps", "publisher")
    if how == "lost and started anew":
        one.restart()

    for _ in range(2):
        assert await one.cycle() == "VERIFIED"

    assert one.node.stored() == one.timestamps()
    assert (one.outbox.waiting, one.duplicates) == ([], 0)


async def test_a_stream_begun_anew_by_a_clock_set_back_is_delivered(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.redis.delete("oi:sweeps")
    one.clock.set_wall(-3600)

    for _ in range(2):
        await one.cycle()

    assert one.node.stored() == one.timestamps()


async def test_an_emptied_redis_is_taken_up_again(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.redis.flushdb()

    assert await one.cycle() == "VERIFIED"


async def test_a_first_start_leaves_history_alone(desk: Make) -> None:
    one = desk()
    for _ in range(5):
        await one.land_next()

    await one.until_delivered()

    assert one.node.stored() == one.timestamps()[-1:]


@pytest.mark.parametrize("waited", [False, True])
async def test_what_was_trimmed_is_counted(desk: Make, waited: bool) -> None:
    """Before anybody took it, and while it waited."""
    one = desk()
    await one.cycle()
    if waited:
        await one.outage(4)
    else:
        for _ in range(4):
            await one.land_next()
        one.restart()
    await one.redis.xtrim("oi:sweeps", maxlen=1, approximate=False)

    await one.until_delivered()

    assert one.count("pipeline_lost_sweeps_total", cause="retention") == 3


async def test_what_an_outage_of_a_day_left_of_trimmed_sweeps_does_not_hide_the_newest(
    desk: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis keeps them pending; ten thousand are looked at, and the newest of these was taken for the newest of all."""
    monkeypatch.setattr(outbox, "MOST_WAITING", 5)
    monkeypatch.setattr(outbox, "RETENTION_MS", 30_000)
    one = desk()
    one.node.post_s = 9.0  # no time for late ones
    await one.cycle()
    await one.outage(12)
    await one.redis.xtrim("oi:sweeps", maxlen=2, approximate=False)
    await one.land_next()

    await one.until_delivered(1)

    assert one.node.stored()[-1] == one.timestamps()[-1]
    assert one.count("pipeline_lost_sweeps_total", cause="retention") == 10
    assert caplog.messages.count("sweeps lost") == 2


async def test_what_retention_took_in_flight_is_looked_for_before_it_counts_as_lost(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had arrived, and three hours went by before the next process looked."""
    monkeypatch.setattr(outbox, "RETENTION_MS", 30_000)
    one = desk()
    await one.cycle()
    one.node.answers = ["taken"]
    await one.land_next()
    await one.step()
    one.restart()
    for _ in range(4):
        await one.land_next()
    await one.redis.xtrim("oi:sweeps", maxlen=1, approximate=False)

    await one.until_delivered()

    assert one.node.stored() == [one.timestamps()[n] for n in (0, 1, -1)]
    assert one.count("pipeline_lost_sweeps_total", cause="retention") == 3


async def test_redis_that_is_back_is_not_named_for_sweeps_that_do_not_land(desk: Make) -> None:
    """`oi status` sent whoever looked to Redis, while the poller was down."""
    one = desk(VERIFIED_MAX_AGE_SEC="30")
    await one.cycle()
    await one.redis.rename("oi:sweeps", "aside")
    await one.redis.set("oi:sweeps", "not a stream")
    assert await one.step() > 0
    assert "waiting for Redis" in one.fact("blocked")
    await one.redis.rename("aside", "oi:sweeps")

    await one.step()
    assert (one.fact("blocked"), one.service.health.report().detail) == ("", "waiting for the next sweep")
    one.clock.advance(31)
    await one.step()
    assert "no sweep lands" in one.service.health.report().detail


@pytest.mark.parametrize("binary", servers().values(), ids=servers().keys())
async def test_each_kind_of_redis_will_do_over_a_restart(
    binary: str, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient
) -> None:
    """Redis before 7.0 does not count what it added to a stream: the publisher ended at its first restart."""
    with contextlib.closing(EmbeddedRedis(binary=binary)) as server:
        redis = store.connect(server.url)
        one = Desk(redis, clock, loopback, client)
        await one.land_next()
        for _ in range(2):
            await one.cycle()
            one.restart()
        await redis.xgroup_destroy("oi:sweeps", "publisher")

        assert await one.cycle() == "VERIFIED"
        await redis.aclose()

    assert one.node.stored() == one.timestamps()[1:]
