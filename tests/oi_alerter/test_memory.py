"""What Redis is left with, call by call."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from services.oi_alerter import memory
from services.oi_alerter.detector import Key, Latch
from services.oi_alerter.memory import GROUP, Memory, Moved
from shared.sweeplog import entry_order
from tests.oi_alerter.conftest import Book, Start
from tests.waiting import eventually

KEY = Key("ETHUSDT", "UP", "5 min")


async def taken(redis: Redis, book: Book) -> str:
    """The id of one sweep that was handed out and not finished."""
    await book.sweep({"ETHUSDT": "1000000"})
    await redis.xgroup_create("oi:sweeps", GROUP, id="0")
    await redis.xreadgroup(GROUP, GROUP, {"oi:sweeps": ">"})
    return book.last_id


async def test_a_commit_leaves_alert_latch_cursor_and_nothing_to_do(redis: Redis, book: Book) -> None:
    memory = Memory(redis)
    await memory.recall(pytest.fail)
    entry_id = await taken(redis, book)

    await memory.commit(entry_id, {KEY: Latch(5, 7)}, (), [b"alert"])

    again = Memory(redis)
    await again.recall(pytest.fail)
    assert again.cursor == memory.cursor == entry_id
    assert again.latches == memory.latches == {KEY: Latch(5, 7)}
    assert [fields for _, fields in await redis.xrange("oi:alerts")] == [{b"alert": b"alert"}]
    assert (await redis.xpending("oi:sweeps", GROUP))["pending"] == 0


async def test_alerts_are_let_go_by_the_time_of_sweeps_not_by_a_clock_that_may_be_a_year_ahead(
    redis: Redis, book: Book
) -> None:
    """Redis stamps both. The clock of a host that has just booted would take every undelivered alert with it."""
    memory = Memory(redis)
    await memory.recall(pytest.fail)
    entry_id = await taken(redis, book)
    for hours in (25, 23):
        await redis.xadd("oi:alerts", {"alert": str(hours)}, id=f"{entry_order(entry_id)[0] - hours * 3_600_000}-0")

    await memory.commit(entry_id, {}, (), [b"new"])
    assert [fields for _, fields in await redis.xrange("oi:alerts")] == [{b"alert": b"23"}, {b"alert": b"new"}]


async def test_the_stream_of_alerts_is_bounded(redis: Redis, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is away for a week must not fill Redis."""
    monkeypatch.setattr(memory, "MOST_ALERTS", 100)
    one = Memory(redis)
    await one.recall(pytest.fail)
    entry_id = await taken(redis, book)
    for _ in range(500):
        await redis.xadd("oi:alerts", {"alert": b"recent"})

    await one.commit(entry_id, {}, (), [b"new"])
    assert 100 <= await redis.xlen("oi:alerts") <= 200  # whole nodes of a hundred are let go
    assert (await redis.xrevrange("oi:alerts", count=1))[0][1] == {b"alert": b"new"}


async def test_of_two_that_write_the_same_sweep_at_once_only_one_does(redis: Redis, book: Book) -> None:
    """The other came between its look at the cursor and its transaction."""
    one, other = Memory(redis), Memory(redis)
    await one.recall(pytest.fail)
    await other.recall(pytest.fail)
    entry_id = await taken(redis, book)
    real = redis.pipeline

    def pipeline(transaction: bool = True) -> Any:
        pipe = real(transaction=transaction)
        execute = pipe.execute

        async def late() -> Any:
            redis.pipeline = real  # type: ignore[method-assign]
            await other.commit(entry_id, {}, (), [b"alert"])
            return await execute()

        pipe.execute = late
        return pipe

    redis.pipeline = pipeline  # type: ignore[method-assign,assignment]
    with pytest.raises(Moved):
        await one.commit(entry_id, {}, (), [b"alert"])

    assert await redis.xlen("oi:alerts") == 1


@pytest.mark.parametrize(("cursor", "said"), [("7-0", "is at 7-0$"), (None, "is gone$")])
async def test_where_the_work_is_now_is_said_in_words(redis: Redis, book: Book, cursor: str | None, said: str) -> None:
    """An operator reads it in `oi status`."""
    memory = Memory(redis)
    await memory.recall(pytest.fail)
    entry_id = await taken(redis, book)
    if cursor:
        await redis.hset("oi:alerter", "cursor", cursor)
    else:
        await redis.delete("oi:alerter")
    with pytest.raises(Moved, match=said):
        await memory.commit(entry_id, {}, (), [])


async def test_what_was_looked_at_is_not_looked_at_again(redis: Redis, start: Start, book: Book) -> None:
    """A group that a hand put back to the beginning hands out three hours of sweeps again."""
    await book.hold(400, ETHUSDT="1000000")
    await redis.hset("oi:alerter", "cursor", book.last_id)
    await redis.xgroup_create("oi:sweeps", GROUP, id="0")
    async with start() as service:

        async def through() -> bool:
            groups = await redis.xinfo_groups("oi:sweeps")
            group = next(group for group in groups if group["name"].decode() == GROUP)
            return bool(group["last-delivered-id"].decode() == book.last_id and group["pending"] == 0)

        await eventually(through)
        assert service.health.report().state == "starting"
        assert await redis.hget("oi:alerter", "cursor") == book.last_id.encode()
