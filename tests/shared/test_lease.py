"""One process at a time does a service's work; a standby takes over, and a restart waits for nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.errors import Refused
from shared.health import Health
from shared.lease import EXPIRES_S, Lease, is_gone, this_process
from shared.service import Service
from tests.fakes import FakeClock


def service(redis: Redis, clock: FakeClock) -> Service:
    return Service("publisher", redis, Health(clock, 60), CollectorRegistry(), clock)


async def test_the_first_works_and_the_second_stands_by_until_it_is_gone(redis: Redis, clock: FakeClock) -> None:
    one, two = service(redis, clock), service(redis, clock)
    await Lease(one, "host-a 1 1").take()

    class Ended(FakeClock):
        waits = 0

        async def sleep(self, seconds: float) -> None:
            self.waits += 1
            assert two.health.report().healthy
            assert two.health.report().detail == "standby: host-a 1 works"
            if self.waits == 3:
                await redis.delete("oi:lease:publisher")  # as Redis does when it was not renewed

    two.clock = Ended()
    await Lease(two, "host-b 1 1").take()

    assert two.clock.waits == 3
    assert await redis.get("oi:lease:publisher") == b"host-b 1 1"


async def test_a_clean_end_gives_it_away_at_once(redis: Redis, clock: FakeClock) -> None:
    lease = Lease(service(redis, clock), "host-a 1 1")
    await lease.take()
    await lease.give_up()
    assert not await redis.exists("oi:lease:publisher")

    await redis.set("oi:lease:publisher", "host-b 1 1")
    await lease.give_up()
    assert await redis.get("oi:lease:publisher") == b"host-b 1 1"


async def test_it_runs_out_unless_it_is_renewed(redis: Redis, clock: FakeClock) -> None:
    await Lease(service(redis, clock), "host-a 1 1").take()

    assert 0 < await redis.pttl("oi:lease:publisher") <= EXPIRES_S * 1000


async def test_who_lost_it_does_not_go_on(redis: Redis, clock: FakeClock) -> None:
    """A process that slept while another took over must end, not write beside it."""
    lease = Lease(service(redis, clock), "host-a 1 1")
    await lease.take()
    await redis.set("oi:lease:publisher", "host-b 1 1")

    with pytest.raises(Refused, match="host-b 1 1 has taken over"):
        await lease.keep()


async def test_a_killed_process_of_this_host_is_not_waited_for(redis: Redis, clock: FakeClock) -> None:
    code = "from shared.lease import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    await redis.set("oi:lease:publisher", ended)

    await Lease(service(redis, clock)).take()

    assert await redis.get("oi:lease:publisher") == this_process().encode()


def test_only_a_process_of_this_host_that_ended_is_gone() -> None:
    host, pid, _ = this_process().split(" ")

    assert not is_gone(this_process())
    assert is_gone(f"{host} {pid} 1")  # the number of a process that ended, used again
    assert not is_gone(f"elsewhere {pid} 1")
    for odd in ("", host, f"{host} x 1", f"{host} {'9' * 30} 1", f"{host} ٣ 1"):
        assert not is_gone(odd)
    assert os.getpid() == int(pid)
