"""A restart, a kill, a lost answer or a second process: each alert once, none lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.oi_alerter import alerter
from shared import store
from shared.backoff import Backoff
from tests.fakes import patient
from tests.oi_alerter.conftest import Book, Start, told

# Two crossings of one symbol (the second waits for a cooldown of 40 s), one of another, told in these sweeps' order.
PATH = [
    {"ETHUSDT": eth, "SOLUSDT": sol}
    for eth, sol in [
        ("1000000", "500000"),
        ("1000000", "500000"),
        ("1050000", "500000"),
        ("1051000", "500000"),
        ("1010000", "460000"),
        ("1052000", "461000"),
        ("1052000", "462000"),
        ("1053000", "470000"),
        ("1053000", "470000"),
    ]
]
SHORT = {"OI_ALERT_COOLDOWN_5MIN": "40"}
EXPECTED = ["ETHUSDT UP 5 min", "SOLUSDT DOWN 5 min", "SOLUSDT DOWN 15 min", "ETHUSDT UP 5 min"]


async def background(redis: Redis, start: Start) -> Book:
    """A first start, and twenty minutes of calm."""
    book = Book(redis)
    async with start(**SHORT):
        await book.sweep(PATH[0])
        await book.looked_at()
    await book.hold(1200, every_s=30, **PATH[0])
    return book


@pytest.mark.parametrize("restarts", [0, len(PATH)], ids=["no restart", "a restart after every sweep"])
async def test_each_is_told_once(redis: Redis, start: Start, restarts: int) -> None:
    book = await background(redis, start)
    for levels in PATH[:restarts]:
        async with start(**SHORT):
            await book.sweep(levels)
            await book.looked_at()
    async with start(**SHORT):
        for levels in PATH[restarts:]:
            await book.sweep(levels)
        await book.looked_at()
    assert await told(redis) == EXPECTED


@pytest.fixture
def seeds() -> Iterator[random.Random]:
    seed = random.randrange(1_000_000)
    yield random.Random(seed)
    print(f"seed={seed}")


async def test_ended_at_any_await(redis: Redis, redis_url: str, start: Start, seeds: random.Random) -> None:
    """Cut off wherever it happens to wait: before, within and after what it sends to Redis."""
    book = await background(redis, start)
    for levels in PATH:
        await book.sweep(levels)
    for _ in range(40):
        client = patient(store.connect(redis_url))
        async with start(client, **SHORT):
            for _ in range(seeds.randrange(200)):
                await asyncio.sleep(0)
        await client.aclose()
    async with start(**SHORT):
        await book.looked_at()
    assert await told(redis) == EXPECTED


@pytest.mark.parametrize("fault", ["never sent", "answer lost"])
async def test_every_transaction_of_unknown_outcome(
    redis: Redis, redis_url: str, start: Start, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks on EXEC, each time: only Redis knows whether it happened, so it is asked."""
    monkeypatch.setattr(alerter, "Backoff", lambda *_: Backoff(0.01, 0.02))
    book = await background(redis, start)
    async with start(**SHORT):
        await book.looked_at()
    for levels in PATH:
        await book.sweep(levels)
    client = patient(store.connect(redis_url))
    broken = break_transactions(client, fault)
    async with start(client, **SHORT):
        await book.looked_at()
    await client.aclose()
    assert len(broken) == len(PATH)
    assert await told(redis) == EXPECTED


def break_transactions(client: Redis, fault: str) -> list[str]:
    """Each transaction fails, before Redis obeyed (then the next one does not), or after; the list has one a fault."""
    real, done, sound = client.pipeline, [], []

    def pipeline(transaction: bool = True) -> Any:
        pipe = real(transaction=transaction)
        if not transaction:
            return pipe
        execute = pipe.execute

        async def failing() -> Any:
            if fault == "never sent" and len(done) > len(sound):
                sound.append(fault)
                return await execute()
            done.append(fault)
            if fault == "answer lost":
                await execute()
            raise RedisConnectionError("cut off")

        pipe.execute = failing
        return pipe

    client.pipeline = pipeline  # type: ignore[method-assign,assignment]
    return done


async def test_two_at_once_never_tell_anything_twice(redis: Redis, redis_url: str, start: Start) -> None:
    """A second one started by mistake: the cursor in Redis lets only one of them write each sweep."""
    book = await background(redis, start)
    other = patient(store.connect(redis_url))
    async with start(**SHORT), start(other, **SHORT):
        for levels in PATH * 3:
            await book.sweep(levels)
        await book.looked_at()
    await other.aclose()
    entries = await redis.xrange("oi:alerts")
    assert max(Counter(fields[b"alert"] for _, fields in entries).values()) == 1
    assert entries
