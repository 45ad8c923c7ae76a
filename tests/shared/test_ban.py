"""A ban is kept by this process, by Redis, and by whoever starts next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.ban import MARGIN_MS, Ban
from shared.errors import Banned, RateLimited, Transient
from tests.fakes import FakeClock


def banned(clock: FakeClock, seconds: float) -> Banned:
    return Banned("418", seconds, clock.now_ms() + round(seconds * 1000))


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis()
    yield server
    server.close()


async def test_a_ban_holds_until_its_end_and_a_moment_longer(redis: Redis, clock: FakeClock) -> None:
    """Whole seconds in headers round down; a request a moment too early prolongs the ban."""
    ban = Ban(redis)
    ban.check(clock.now_ms())  # nothing said, nothing forbidden
    told = banned(clock, 300)

    await ban.record(told, clock.now_ms())

    clock.advance(300)
    with pytest.raises(Banned) as refused:
        ban.check(clock.now_ms())
    assert refused.value.until_ms == told.until_ms + MARGIN_MS
    assert refused.value.retry_after_s == MARGIN_MS / 1000
    clock.advance(MARGIN_MS / 1000)
    ban.check(clock.now_ms())
    assert ban.remaining_s(clock.now_ms()) == 0.0


async def test_a_restart_does_not_forget_it(redis: Redis, clock: FakeClock) -> None:
    """A supervisor that restarts the poller every few seconds would otherwise knock through the whole ban."""
    await Ban(redis).record(banned(clock, 300), clock.now_ms())

    reborn = Ban(redis)
    await reborn.refresh(clock.now_ms())

    with pytest.raises(Banned) as refused:
        reborn.check(clock.now_ms())
    assert refused.value.until_ms == clock.now_ms() + 300_000 + MARGIN_MS


async def test_redis_forgets_it_with_its_end(redis: Redis, clock: FakeClock) -> None:
    """A key that stayed would have to be deleted by hand at night."""
    await Ban(redis).record(banned(clock, 300), clock.now_ms())

    assert 299_000 < await redis.pttl("oi:ban") <= 300_000 + MARGIN_MS
    assert await redis.get("oi:ban") == str(clock.now_ms() + 300_000 + MARGIN_MS).encode()


async def test_what_one_service_was_told_the_other_obeys(redis: Redis, clock: FakeClock) -> None:
    """Both share one address, and the exchange bans the address."""
    poller, daemon = Ban(redis), Ban(redis)
    await poller.record(RateLimited("429", 30.0), clock.now_ms())

    await daemon.refresh(clock.now_ms())

    with pytest.raises(RateLimited) as refused:
        daemon.check(clock.now_ms())
    assert refused.value.retry_after_s == 30 + MARGIN_MS / 1000


async def test_a_429_is_not_reported_as_a_ban(redis: Redis, clock: FakeClock) -> None:
    """An operator who reads "banned" looks for another cause than for "too fast"."""
    ban = Ban(redis)
    await ban.record(RateLimited("429", 30.0), clock.now_ms())

    with pytest.raises(RateLimited) as refused:
        ban.check(clock.now_ms())
    assert not isinstance(refused.value, Banned)


async def test_a_shorter_word_never_ends_a_longer_one(redis: Redis, clock: FakeClock) -> None:
    """Answers still in flight when the ban came say 429 and sixty seconds; the ban is five minutes all the same."""
    poller, daemon = Ban(redis), Ban(redis)
    await poller.record(banned(clock, 300), clock.now_ms())

    await poller.record(RateLimited("429", 60.0), clock.now_ms())
    await daemon.record(RateLimited("429", 60.0), clock.now_ms())
    await daemon.refresh(clock.now_ms())

    until_ms = clock.now_ms() + 300_000 + MARGIN_MS
    assert (poller.until_ms, daemon.until_ms) == (until_ms, until_ms)
    assert await redis.get("oi:ban") == str(until_ms).encode()
    assert await redis.pttl("oi:ban") > 290_000


async def test_a_longer_word_replaces_a_shorter_one(redis: Redis, clock: FakeClock) -> None:
    ban = Ban(redis)
    await ban.record(RateLimited("429", 60.0), clock.now_ms())

    await ban.record(banned(clock, 300), clock.now_ms())

    assert await redis.get("oi:ban") == str(clock.now_ms() + 300_000 + MARGIN_MS).encode()
    assert await redis.pttl("oi:ban") > 290_000


async def test_a_ban_told_while_redis_is_away_is_obeyed_and_written_later(
    own_redis: EmbeddedRedis, clock: FakeClock
) -> None:
    """Both at once is an ordinary bad night: the host was restarted into a ban."""
    client = store.connect(own_redis.url)
    ban = Ban(client)
    own_redis.kill()

    await ban.record(banned(clock, 300), clock.now_ms())  # raises nothing: memory has it

    with pytest.raises(Banned):
        ban.check(clock.now_ms())
    with pytest.raises(Transient, match="Redis"):
        await ban.refresh(clock.now_ms())
    own_redis.start()
    clock.advance(100)
    await ban.refresh(clock.now_ms())
    reborn = Ban(client)
    await reborn.refresh(clock.now_ms())
    assert reborn.remaining_s(clock.now_ms()) == 200 + MARGIN_MS / 1000
    assert await client.pttl("oi:ban") <= 200_000 + MARGIN_MS
    await client.aclose()


async def test_an_emptied_redis_is_told_again(redis: Redis, clock: FakeClock) -> None:
    ban = Ban(redis)
    await ban.record(banned(clock, 300), clock.now_ms())
    await redis.flushall()

    await ban.refresh(clock.now_ms())

    assert await redis.get("oi:ban") == str(ban.until_ms).encode()


@pytest.mark.parametrize("kept", ["", "soon", "-5", "1.5", "9" * 30, "9" * 5000, "1"])
async def test_what_is_no_time_to_come_bans_nobody(redis: Redis, clock: FakeClock, kept: str) -> None:
    """A hand with redis-cli, or a stamp long past, must neither stop the poller nor crash it."""
    await redis.set("oi:ban", kept)
    ban = Ban(redis)

    await ban.refresh(clock.now_ms())
    ban.check(clock.now_ms())

    assert ban.remaining_s(clock.now_ms()) == 0.0


async def test_a_broken_entry_does_not_keep_a_ban_from_being_written(redis: Redis, clock: FakeClock) -> None:
    await redis.set("oi:ban", "soon")

    await Ban(redis).record(banned(clock, 300), clock.now_ms())

    assert await redis.get("oi:ban") == str(clock.now_ms() + 300_000 + MARGIN_MS).encode()
