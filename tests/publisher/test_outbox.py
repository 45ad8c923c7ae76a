"""What is remembered across a kill, in a real Redis database that no publisher process looks at."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from services.publisher.attempt import Attempt
from services.publisher.outbox import Outbox, entry_time, trimmed
from shared.model import Served
from shared.store import round_trip
from shared.sweeplog import append, entry_order
from tests.builders import NOW_MS, reading, sweep


def attempt(entry_id: str = "1-0", posts: int = 1) -> Attempt:
    left_out, failed = {"C-D": "stale_mark"}, ["E"]
    return Attempt(entry_id, "s", NOW_MS, NOW_MS, 1.0, None, {"A": 1.5}, ["B"], left_out, failed, posts=posts)  # type: ignore[arg-type]


async def land(redis: Redis, count: int) -> None:
    for n in range(count):
        async with round_trip(redis) as pipe:
            append(pipe, sweep(reading(), ended_ms=NOW_MS + n))


async def opened(redis: Redis) -> Outbox:
    outbox = Outbox(redis)
    await outbox.recall()
    await outbox.collect(block=False)
    return outbox


async def finish(outbox: Outbox, entry_id: str, posts: int = 1, *, keep: bool = False) -> None:
    await outbox.finish(attempt(entry_id, posts), {"post_s": 0.25}, None, keep=keep)


async def test_an_attempt_is_there_after_a_kill_and_gone_after_its_end(other_db: Redis) -> None:
    await land(other_db, 1)
    outbox = await opened(other_db)
    newest = outbox.waiting[-1]
    await outbox.note(attempt(newest))

    after = await opened(other_db)
    assert (after.attempt, after.waiting) == (attempt(newest), [newest])

    await finish(after, newest)
    kept = await Outbox(other_db).recall()
    assert (kept.attempt, kept.delivered_id, kept.post_s, kept.waiting) == (None, newest, 0.25, [])
    assert (await other_db.xpending("oi:sweeps", "publisher"))["pending"] == 0


async def test_a_doubt_that_made_way_is_remembered_until_its_entry_is_done_with(other_db: Redis) -> None:
    """One of its POSTs may be the one that counts, if it is never posted again."""
    await opened(other_db)
    await land(other_db, 3)
    outbox = await opened(other_db)
    first, second, third = outbox.waiting
    for entry_id in (first, second, third):
        await outbox.release(attempt(entry_id, posts=2))

    after = await opened(other_db)
    assert (after.doubted, (await after.recall()).duplicates) == ({first, second, third}, 3)
    await after.give_up(first)
    await finish(after, second, posts=2)
    await finish(after, third, keep=True)
    kept = await Outbox(other_db).recall()
    assert (kept.doubted, kept.waiting, kept.delivered_id, kept.duplicates) == (set(), [third], third, 4)


async def test_what_is_given_up_is_in_flight_no_more(other_db: Redis) -> None:
    await land(other_db, 1)
    outbox = await opened(other_db)
    await outbox.note(attempt(outbox.waiting[0]))
    await outbox.give_up(*outbox.waiting)

    kept = await Outbox(other_db).recall()
    assert (outbox.attempt, kept.attempt, kept.waiting) == (None, None, [])


@pytest.mark.parametrize(
    ("entry_id", "told"),
    [(f"{NOW_MS}-3", "2025-12-03T00:00:00.000Z"), ("9999999999999999999-1", "9999999999999999999-1")],
)
def test_an_entry_is_told_by_its_time_where_a_calendar_has_it(entry_id: str, told: str) -> None:
    assert entry_time(entry_id) == told


async def test_delivering_an_older_sweep_does_not_move_the_newest_back(other_db: Redis) -> None:
    outbox = Outbox(other_db)
    for entry_id in ("9-1", "10-0", "9-2"):
        await finish(outbox, entry_id)

    assert (await outbox.recall()).delivered_id == "10-0"


async def test_all_that_is_new_is_taken_however_much_it_is(other_db: Redis) -> None:
    await opened(other_db)
    await land(other_db, 21)
    outbox = await opened(other_db)

    assert len(outbox.waiting) == 21
    assert outbox.waiting == sorted(outbox.waiting, key=entry_order)
    assert (await outbox.load(outbox.waiting[-1])).sweep == sweep(reading(), ended_ms=NOW_MS + 20)


async def test_a_later_sweep_is_seen_before_it_is_taken(other_db: Redis) -> None:
    await land(other_db, 1)
    outbox = await opened(other_db)
    assert await outbox.is_newest(outbox.waiting[-1])
    await land(other_db, 1)

    assert not await outbox.is_newest(outbox.waiting[-1])


async def test_the_report_holds_exactly_the_last_cycle(other_db: Redis) -> None:
    outbox = Outbox(other_db)
    first = {"B": Served(1.5, NOW_MS, "verified"), "C": Served(None, 0, "missing")}
    await outbox.finish(msgspec.structs.replace(attempt("1-0"), left_out={"A": "stale_mark"}), {}, first)
    await outbox.finish(attempt("2-0"), {}, {"B": Served(2.5, NOW_MS, "verified")})

    assert await other_db.hgetall("oi:left_out") == {b"C-D": b"stale_mark", b"E": b"fetch_failed"}
    assert await outbox.last_served() == {"B": Served(2.5, NOW_MS, "verified")}
    assert msgspec.json.decode(await other_db.hget("oi:served", "B")) == {
        "usd": 2.5,
        "since": NOW_MS,
        "verdict": "verified",
    }


def test_an_attempt_knows_the_universe_of_its_sweep() -> None:
    one = attempt()

    assert one.universe_keys() == {"A", "B", "CD", "E"}
    assert (one.published, one.universe) == (2, 4)
    assert one.reasons() == {"stale_mark": ["C-D"], "fetch_failed": ["E"]}


REDIS_6 = {"length": 11, "first-entry": (b"100000-0", {}), "last-generated-id": b"200000-0"}
REDIS_7 = {**REDIS_6, "entries-added": 50}


@pytest.mark.parametrize(
    ("stream", "group", "lost"),
    [
        (REDIS_7, {"last-delivered-id": b"50000-0", "entries-read": 35}, 4),
        (REDIS_7, {"last-delivered-id": b"50000-0", "entries-read": None}, 4),  # made anew: not all that ever landed
        (REDIS_6, {"last-delivered-id": b"50000-0"}, 4),  # one each ten seconds: 60, 70, 80 and 90 s
        (REDIS_6, {"last-delivered-id": b"150000-0"}, 0),
        (REDIS_6, {"last-delivered-id": b"0-0"}, 0),
        ({**REDIS_6, "length": 0, "first-entry": None}, {"last-delivered-id": b"150000-0"}, 5),
    ],
)
def test_what_retention_took_is_counted_by_redis_or_reckoned(
    stream: dict[str, Any], group: dict[str, Any], lost: int
) -> None:
    """Redis counts what it added since 7.0; under 6.2 the publisher ended at each start for lack of it."""
    found = trimmed(stream, group)

    assert (found.sweeps if found else 0) == lost
