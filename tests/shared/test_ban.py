"""A ban is kept by this process, by Redis, and by whoever starts next."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from dev.redis_server import EmbeddedRedis
from shared import store
from shared.ban import MARGIN_S, Ban
from shared.errors import Banned, RateLimited, Transient
from tests.fakes import FakeClock


def banned(clock: FakeClock, seconds: float) -> Banned:
    return Banned("418", seconds, clock.now_ms() + round(seconds * 1000))


async def test_a_ban_holds_until_its_end_and_a_moment_longer(redis: Redis, clock: FakeClock) -> None:
    """Whole seconds in headers round down; a request a moment too early prolongs the ban."""
    ban = Ban(redis, clock)
    ban.check()  # nothing said, nothing forbidden
    told = banned(clock, 300)

    await ban.record(told)

    clock.advance(300)
    with pytest.raises(Banned) as refused:
        ban.check()
    assert refused.value.until_ms == told.until_ms + 1000
    assert refused.value.retry_after_s == MARGIN_S
    clock.advance(MARGIN_S)
    ban.check()
    assert ban.remaining_s() == 0.0


async def test_a_restart_does_not_forget_it(redis: Redis, clock: FakeClock) -> None:
    """A supervisor that restarts the poller every few seconds would otherwise knock through the whole ban."""
    await Ban(redis, clock).record(banned(clock, 300))

    reborn = Ban(redis, clock)
    await reborn.refresh()

    with pytest.raises(Banned) as refused:
        reborn.check()
    assert refused.value.until_ms == clock.now_ms() + 300_000 + 1000


async def test_what_one_service_was_told_the_other_obeys(redis: Redis, clock: FakeClock) -> None:
    """Both share one address, and the exchange bans the address."""
    poller, daemon = Ban(redis, clock), Ban(redis, clock)
    await poller.record(RateLimited("429", 30.0))

    await daemon.refresh()

    with pytest.raises(RateLimited) as refused:
        daemon.check()
    assert refused.value.retry_after_s == 30 + MARGIN_S


async def test_a_shorter_word_never_ends_a_longer_one(redis: Redis, clock: FakeClock) -> None:
    """Answers still in flight when the ban came say 429 and sixty seconds; the ban is five minutes all the same."""
    poller, daemon = Ban(redis, clock), Ban(redis, clock)
    await poller.record(banned(clock, 300))

    await poller.record(RateLimited("429", 60.0))
    await daemon.record(RateLimited("429", 60.0))
    await daemon.refresh()

    until_ms = clock.now_ms() + 300_000 + 1000
    assert (poller.until_ms, daemon.until_ms) == (until_ms, until_ms)
    assert await redis.get("oi:ban") == str(until_ms).encode()
    assert await redis.pttl("oi:ban") > 290_000


@pytest.mark.parametrize("before", ["a shorter word", "what is no time"])
async def test_a_longer_word_is_kept_until_its_end(redis: Redis, clock: FakeClock, before: str) -> None:
    """A key that stayed would have to be deleted by hand at night."""
    ban = Ban(redis, clock)
    if before == "a shorter word":
        await ban.record(RateLimited("429", 60.0))
    else:
        await redis.set("oi:ban", "soon")

    await ban.record(banned(clock, 300))

    assert await redis.get("oi:ban") == str(clock.now_ms() + 300_000 + 1000).encode()
    assert 299_000 < await redis.pttl("oi:ban") <= 300_000 + 1000


async def test_a_ban_told_while_redis_is_away_is_obeyed_and_written_later(
    own_redis: EmbeddedRedis, clock: FakeClock
) -> None:
    """Both at once is an ordinary bad night: the host was restarted into a ban."""
    client = store.connect(own_redis.url)
    ban = Ban(client, clock)
    own_redis.kill()

    await ban.record(banned(clock, 300))  # raises nothing: memory has it

    with pytest.raises(Banned):
        ban.check()
    with pytest.raises(Transient, match="Redis"):
        await ban.refresh()
    own_redis.start()
    clock.advance(100)
    await ban.refresh()
    reborn = Ban(client, clock)
    await reborn.refresh()
    assert reborn.remaining_s() == 200 + MARGIN_S
    assert await client.pttl("oi:ban") <= 200_000 + 1000
    await client.aclose()


@pytest.mark.parametrize("set_by_s", [-86_400, -3600, 3600, 86_400])
async def test_a_wall_clock_that_is_set_moves_no_ban(redis: Redis, clock: FakeClock, set_by_s: float) -> None:
    """NTP after a boot, or a VM that slept: neither a day of silence nor a knock in the middle of the ban."""
    poller, daemon = Ban(redis, clock), Ban(redis, clock)
    await poller.record(banned(clock, 300))
    await daemon.refresh()

    clock.set_wall(set_by_s)

    for ban in (poller, daemon, poller):
        await ban.refresh()
        assert ban.remaining_s() == 300 + MARGIN_S
    reborn = Ban(redis, clock)
    await reborn.refresh()
    assert reborn.remaining_s() == 300 + MARGIN_S
    assert 299_000 < await redis.pttl("oi:ban") <= 301_000


async def test_a_user_without_scripting_keeps_it_too(redis: Redis, redis_url: str, clock: FakeClock) -> None:
    """Some managed ones allow no Lua; requests went out during a ban, restart after restart."""
    await redis.acl_setuser(
        "plain", enabled=True, passwords=["+pw"], keys=["oi:*"], categories=["+@all", "-@scripting", "-@dangerous"]
    )
    client = store.connect(redis_url.replace("redis://", "redis://plain:pw@"))
    try:
        await Ban(client, clock).record(banned(clock, 300))
        reborn = Ban(client, clock)
        await reborn.refresh()
        assert reborn.remaining_s() == 300 + MARGIN_S
    finally:
        await client.aclose()
        await redis.acl_deluser("plain")


async def test_an_emptied_redis_is_told_again(redis: Redis, clock: FakeClock) -> None:
    ban = Ban(redis, clock)
    await ban.record(banned(clock, 300))
    await redis.flushall()

    await ban.refresh()

    assert await redis.get("oi:ban") == str(ban.until_ms).encode()


@pytest.mark.parametrize("kept", ["", "soon", "-5", "1.5", "9" * 30, "9" * 5000, "1"])
async def test_what_is_no_time_to_come_bans_nobody(redis: Redis, clock: FakeClock, kept: str) -> None:
    """A hand with redis-cli, or a stamp long past, must neither stop the poller nor crash it."""
    await redis.set("oi:ban", kept)
    ban = Ban(redis, clock)

    await ban.refresh()
    ban.check()

    assert ban.remaining_s() == 0.0
