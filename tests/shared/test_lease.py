"""On one host at a time a service does its work; a standby takes over, and a restart waits for nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError, WatchError

from shared import lease
from shared.errors import Transient
from shared.fence import Fence, Fenced, FencedRedis
from shared.health import Health
from shared.lease import EXPIRES_S, LOOK_S, RENEW_S, WORKS_S, Lease, Lost
from shared.owner import is_gone, this_process
from shared.service import Service
from tests.fakes import FakeClock

LEASE, FENCE, HANDOVER = "oi:lease:publisher", "oi:fence:publisher", "oi:handover:publisher"


class Host:
    """One process of the service on a host of this name, with a clock of its own."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        *,
        warm: bool = False,
        clock: FakeClock | None = None,
        patience_s: float = 0.0,
    ) -> None:
        self.clock = clock or FakeClock()
        self.fence = Fence("publisher", self.clock, warm=warm, patience_s=patience_s)
        self.redis = FencedRedis(redis, self.fence)
        health = Health(self.clock, 60)
        self.service = Service(
            "publisher", self.redis, health, CollectorRegistry(), self.clock, host=name, fence=self.fence
        )
        self.lease = Lease(self.service, self.fence, f"{name} 1 1")

    async def expire(self) -> None:
        """As Redis does when the lease was not renewed."""
        await self.redis.unfenced.delete(LEASE)


async def taken_over(redis: Redis) -> tuple[Host, Host]:
    """The second has taken the work of the first, which has not noticed yet."""
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    await one.expire()
    await two.lease.take()
    return one, two


class Steps(FakeClock):
    """Does something at a certain sleep."""

    def __init__(self, at: int, do: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._do = at, do

    async def sleep(self, seconds: float) -> None:
        if len(self.slept) + 1 == self._at:
            await self._do()  # type: ignore[misc]
        await super().sleep(seconds)


async def test_the_first_works_and_the_second_stands_by_until_it_is_gone(redis: Redis) -> None:
    """When each took the work is told: by it the alerts count how long there was time for a sweep or a cycle."""

    def begun(host: Host) -> float | None:
        return host.service.registry.get_sample_value("pipeline_work_begun_timestamp_seconds")

    async def expire() -> None:
        assert two.service.health.report().healthy
        assert two.service.health.report().detail == two.service.standby == "standby; host-a works"
        assert (begun(one), begun(two)) == (one.clock.now_ms() / 1000, 0)
        await one.expire()

    steps = Steps(3, expire)
    one, two = Host(redis, "host-a"), Host(redis, "host-b", clock=steps)
    assert begun(one) == 0
    await one.lease.take()
    await two.lease.take()

    assert steps.slept == [LOOK_S] * 3
    assert two.service.standby == ""
    assert begun(two) == steps.now_ms() / 1000
    assert await redis.get(LEASE) == b"host-b 1 1"
    assert await redis.get(FENCE) == b"2 host-b 1 1"
    told = await redis.hgetall(HANDOVER)
    assert (told[b"before"], told[b"now"], told[b"cause"]) == (b"host-a", b"host-b", b"expired")
    assert EXPIRES_S <= float(told[b"without_s"]) <= EXPIRES_S + LOOK_S


async def test_a_handover_is_counted_though_the_sentinels_did_not_agree_at_once(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has the new owner by then, and the next try is no handover any more."""
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    await one.lease.give_up()
    answers = iter([Transient("no majority"), None])

    async def majority(_: Redis) -> None:
        if answer := next(answers):
            raise answer

    monkeypatch.setattr(lease, "require_majority", majority)
    await two.lease.take()

    assert two.service.registry.get_sample_value("pipeline_handovers_total", {"cause": "stopped"}) == 1


async def test_a_clean_end_gives_it_away_at_once(redis: Redis) -> None:
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    await one.lease.give_up()
    await two.lease.take()
    await one.lease.give_up()

    assert await redis.get(LEASE) == b"host-b 1 1"
    told = await redis.hgetall(HANDOVER)
    assert (told[b"before"], told[b"now"], told[b"cause"]) == (b"host-a", b"host-b", b"stopped")
    with pytest.raises(Fenced):
        await one.redis.set("k", "after it was given up")


async def test_it_runs_out_in_redis_later_than_its_owner_stops(redis: Redis) -> None:
    """One renewal may be lost by a failover: the owner stops before the one before it runs out."""
    one = Host(redis, "host-a")
    await one.lease.take()

    assert WORKS_S * 1000 < await redis.pttl(LEASE) <= EXPIRES_S * 1000
    assert WORKS_S + RENEW_S <= EXPIRES_S
    await one.redis.set("k", "in time")
    one.clock.advance(s=WORKS_S)
    for attempt in (one.redis.set("k", "too late"), one.redis.get("k")):
        with pytest.raises(Fenced):
            await attempt
    assert await redis.get("k") == b"in time"


async def test_who_could_not_renew_goes_on_when_nobody_was_there_meanwhile(redis: Redis) -> None:
    """Redis was away for longer than the lease, and there is no second host: nothing begins anew."""
    one = Host(redis, "host-a")
    await one.lease.take()
    one.clock.advance(s=WORKS_S + 9)
    await one.expire()
    with pytest.raises(Fenced):
        await one.redis.set("k", "not now")

    await one.lease.take()

    await one.redis.set("k", "again")
    assert await redis.get(FENCE) == b"1 host-a 1 1"


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_redis_that_came_back_with_an_older_number_or_none_ends_nothing(redis: Redis, emptied: bool) -> None:
    """As from a snapshot of minutes ago: nobody with a higher number has written since."""
    before, one = Host(redis, "host-b"), Host(redis, "host-a")
    await before.lease.take()
    older = await redis.get(FENCE)
    await before.lease.give_up()
    await one.lease.take()
    await (redis.flushall() if emptied else redis.set(FENCE, older))
    await one.expire()

    await one.redis.set("k", "before it is renewed")
    await one.lease.take()

    await one.redis.set("k", "after")
    assert await redis.get(FENCE) == b"2 host-a 1 1"


async def test_of_two_takings_with_one_number_the_one_that_redis_has_counts(redis: Redis) -> None:
    """A failover lost the first of them."""
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    await redis.flushall()
    await two.lease.take()

    with pytest.raises(Fenced, match="refused: 1 host-b 1 1 has taken over"):
        await one.redis.set("k", "stale")
    await one.expire()
    with pytest.raises(Lost, match="host-b 1 1 has"):
        await one.lease.take()


async def test_who_stood_by_while_redis_was_emptied_begins_with_a_number_beyond_the_last(redis: Redis) -> None:
    """It looks more often than the lease is renewed: the other worked on beside it, with the higher number."""
    one = Host(redis, "host-a")
    await redis.set(FENCE, "4 host-c 1 1")
    await one.lease.take()
    two = Host(redis, "host-b", clock=Steps(1, redis.flushall))
    await two.lease.take()

    with pytest.raises(Fenced, match="refused: 6 host-b 1 1 has taken over"):
        await one.redis.set("k", "stale")
    await two.redis.set("k", "fresh")


async def test_a_command_waits_a_moment_for_a_lease_that_is_renewed_at_once(redis: Redis) -> None:
    """After an outage nobody's back-off grows for want of the lease alone."""
    one = Host(redis, "host-a", patience_s=30)
    await one.lease.take()
    one.clock.advance(s=WORKS_S)
    waiting = [asyncio.create_task(one.redis.set("k", "v")), asyncio.create_task(one.redis.get("other"))]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    await one.lease.take()

    assert await asyncio.gather(*waiting) == [True, None]


async def test_it_renews_at_a_third(redis: Redis) -> None:
    class Enough(Exception):
        pass

    async def enough() -> None:
        raise Enough

    steps = Steps(4, enough)
    one = Host(redis, "host-a", clock=steps)
    await one.lease.take()
    with pytest.raises(Enough):
        await one.lease.keep()

    assert steps.slept == [RENEW_S] * 3
    assert one.fence.ends_s == pytest.approx(steps.monotonic_s() + WORKS_S)


@pytest.mark.parametrize("expired", [False, True])
async def test_who_lost_it_does_not_go_on(redis: Redis, expired: bool) -> None:
    """A process that slept while another took over must end, also where that one is gone again."""
    one, two = await taken_over(redis)
    if expired:
        await two.expire()

    with pytest.raises(Lost, match="host-b 1 1 has"):
        await one.lease.keep()


async def test_a_stale_owner_changes_nothing(redis: Redis) -> None:
    """It was stopped for a while, and by its own clock nothing has happened: then it is Redis that refuses."""
    one, two = await taken_over(redis)
    await redis.xgroup_create("s", "g", mkstream=True)

    async def piped(transaction: bool) -> None:
        async with one.redis.pipeline(transaction=transaction) as pipe:
            pipe.set("k", "stale")
            await pipe.execute()

    async def watched() -> None:
        async def change(pipe: Redis) -> None:
            pipe.multi()  # type: ignore[attr-defined]
            pipe.set("k", "stale")

        await one.redis.transaction(change, "k")

    attempts = piped(True), piped(False), watched(), one.redis.xack("s", "g", "1-1")
    for refused, attempt in enumerate(attempts, 1):
        with pytest.raises(Fenced, match="refused: 2 host-b 1 1 has taken over"):
            await attempt
        assert one.fence.refused == refused
    assert not await redis.exists("k")
    await two.redis.set("k", "fresh")
    assert await redis.get("k") == b"fresh"


async def test_a_change_of_hands_between_the_look_and_the_write_is_seen(redis: Redis) -> None:
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    await one.expire()
    async with one.redis.pipeline() as pipe:
        await pipe.watch("k")
        await two.lease.take()
        pipe.multi()
        pipe.set("k", "stale")
        with pytest.raises(WatchError):
            await pipe.execute()

    assert not await redis.exists("k")


async def test_who_was_stopped_in_the_middle_of_a_write_does_not_act_on_it(redis: Redis) -> None:
    """Half a minute goes by between the look at the fence and the write."""
    one = Host(redis, "host-a")
    await one.lease.take()
    async with one.redis.pipeline() as pipe:
        pipe.set("k", "noted")
        await pipe.watch()
        one.clock.advance(s=30)
        with pytest.raises(Fenced):
            await pipe.execute()


async def test_who_was_stopped_while_redis_answered_does_not_act_on_the_answer(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note before a POST was written; when the answer is read half a minute has gone by."""
    one = Host(redis, "host-a")
    await one.lease.take()
    execute = Pipeline.execute

    async def answered_late(pipe: Pipeline, raise_on_error: bool = True) -> list[Any]:
        replies = await execute(pipe, raise_on_error)
        one.clock.advance(s=30)
        return replies

    monkeypatch.setattr(Pipeline, "execute", answered_late)
    with pytest.raises(Fenced):
        await one.redis.set("k", "noted")
    assert await redis.get("k") == b"noted"


async def test_errors_of_single_commands_are_as_redis_says_them(redis: Redis) -> None:
    """`ensure_group` looks at the first word."""
    one = Host(redis, "host-a")
    await one.lease.take()
    await one.redis.xgroup_create("s", "g", mkstream=True)
    with pytest.raises(ResponseError, match=r"^BUSYGROUP"):
        await one.redis.xgroup_create("s", "g", mkstream=True)
    assert await one.redis.hset("h", "f", "v") == 1
    assert await one.redis.hgetall("h") == {b"f": b"v"}


async def test_a_warm_standby_reads_and_does_not_write(redis: Redis) -> None:
    warm = Host(redis, "host-b", warm=True)
    assert await warm.redis.get("k") is None
    with pytest.raises(Fenced):
        await warm.redis.set("k", "v")


async def test_a_killed_process_of_this_host_is_not_waited_for(redis: Redis) -> None:
    code = "from shared.owner import this_process; print(this_process('host-a'))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    await redis.set(LEASE, ended)
    await redis.set(FENCE, f"7 {ended}")

    await Host(redis, "host-a").lease.take()

    assert await redis.get(FENCE) == b"8 host-a 1 1"
    assert not await redis.exists(HANDOVER)


@pytest.mark.parametrize("released", [None, b"\xff", b"soon"])
async def test_a_handover_that_a_hand_wrote_keeps_nobody_from_working(redis: Redis, released: bytes | None) -> None:
    """The process ended by it, at each start."""
    told = {"by": "host-a", "why": "asked"} | ({"released": released} if released else {})
    await redis.hset(HANDOVER, mapping=told)

    await Host(redis, "host-a").lease.take()

    assert await redis.get(LEASE) == b"host-a 1 1"


def test_only_a_process_of_this_host_that_ended_is_gone() -> None:
    host, pid, began = this_process("here").split(" ")
    numbered_by = began.partition("@")[2]

    assert not is_gone(this_process("here"), "here")
    assert is_gone(f"{host} {pid} 1@{numbered_by}", "here")  # the number of a process that ended, used again
    assert not is_gone(f"elsewhere {pid} 1@{numbered_by}", "here")
    for odd in ("", host, f"{host} x 1", f"{host} x 1@{numbered_by}", f"{host} {'9' * 30} 1@{numbered_by}"):
        assert not is_gone(odd, "here")
    assert os.getpid() == int(pid)


def test_of_a_process_of_another_machine_or_container_of_the_same_name_nobody_can_tell() -> None:
    """Each is process 1 of its container: two machines without a HOST_ID took the work from one another for ever."""
    host, pid, began = this_process("containers").split(" ")
    ticks, _, numbered_by = began.partition("@")
    boot, _, namespace = numbered_by.partition("/")

    for place in ("", f"{boot}/1", f"00000000/{namespace}"):
        assert not is_gone(f"{host} {pid} {int(ticks) + 1}@{place}", "containers")
