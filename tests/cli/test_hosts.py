"""What `oi` says of two hosts: who works, who stands by, what differs, and how the work is moved."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace

import pytest
from redis.asyncio import Redis

from cli import hosts
from cli.doctor.hosts import clocks, differences, judged
from cli.hosts import SHARED, Present, Share, shares, signed_in
from cli.settings import find
from cli.show import DEGRADED, DOWN, GOOD
from cli.status import status
from shared import agreed
from shared.alike import digests, version
from shared.clock import SystemClock
from shared.errors import Refused, Transient
from shared.lease import GIVES_WAY_S, LOOK_S, Lost
from shared.settings import CommonSettings, take
from shared.store import HANDOVER, LEASE
from tests.cli.command import oi
from tests.cli.world import World
from tests.fakes import FakeClock
from tests.shared.test_lease import Host
from tests.waiting import eventually

NOW_MS = 1_764_720_000_000
SETTINGS = find({"REDIS_URL": "redis://h"}).settings


def there(host: str, service: str = "publisher", *, standby: str = "", age_s: float = 1.0, **said: str) -> Present:
    settings = {"OI_MAX_AGE_SEC": said.get("oi_max_age", "a")}
    return Present(host, service, int(NOW_MS - age_s * 1000), standby, said.get("version", "v1"), settings)


def both(*present: Present, works: str = "host-a") -> list[Share]:
    leases = {one.service: f"{works} 1 1".encode() if works else None for one in present}
    return shares(present, leases, {}, NOW_MS)


def test_one_host_alone_is_not_spoken_of() -> None:
    """Nor services that are each on a host of their own, as containers may be."""
    assert not hosts.several(both(there("host-a")))
    leases = {"publisher": b"host-a 1 1", "oi_poller": b"host-b 1 1"}
    assert not hosts.several(shares([there("host-a"), there("host-b", "oi_poller")], leases, {}, NOW_MS))


def test_who_works_and_who_stands_by() -> None:
    found = both(
        *(there(h, s, standby="" if h == "host-a" else "standby") for h in ("host-a", "host-b") for s in SHARED)
    )

    assert hosts.several(found)
    assert [(share.service, share.works, share.standing_by) for share in found] == [
        (service, "host-a", ["host-b"]) for service in SHARED
    ]
    assert hosts.hop(found).state == GOOD


def test_a_host_that_went_silent_is_named_and_is_no_standby() -> None:
    found = both(
        *(there(h, s, standby="x", age_s=60 if h == "host-b" else 1) for h in ("host-a", "host-b") for s in SHARED)
    )
    hop = hosts.hop(found)

    assert hop.state == DEGRADED
    assert hop.cause == f"no standby: {', '.join(SHARED)}; silent: host-b"


def test_nobody_at_work_is_down() -> None:
    assert hosts.hop(both(there("host-a"), there("host-b"), works="")).state == DOWN


@pytest.mark.parametrize(
    "blob", [b"", b"[]", b"{}", b'{"beat": "x"}', b"\xff", b'{"beat": 1e999, "standby": ""}', b"[" * 9999]
)
def test_a_row_of_another_version_costs_itself(blob: bytes) -> None:
    good = json.dumps({"beat": NOW_MS, "standby": "", "version": "v1", "settings": {}}).encode()
    assert [one.host for one in signed_in({b"a publisher": blob, b"b publisher": good})] == ["b"]


def test_what_must_agree_is_named_where_it_does_not() -> None:
    alike = differences([there("host-a"), there("host-b")])
    assert [finding.state for finding in alike] == [GOOD]

    found = differences([there("host-a"), there("host-b", version="v2", oi_max_age="b")])
    assert [(finding.state, finding.evidence) for finding in found] == [
        (DEGRADED, "host-a v1, host-b v2"),
        (DEGRADED, "OI_MAX_AGE_SEC"),
    ]


def test_clocks_more_than_a_second_apart_are_named() -> None:
    assert clocks({"host-a": 0.1}) == []
    assert [f.state for f in clocks({"host-a": 0.1, "host-b": -0.8})] == [GOOD]
    (found,) = clocks({"host-a": 0.4, "host-b": -0.8})
    assert (found.state, found.evidence) == (DEGRADED, "host-a +0.40 s, host-b -0.80 s")


@pytest.mark.parametrize(
    ("answers", "silent", "state"), [(3, 0, GOOD), (2, 1, DEGRADED), (1, 2, DOWN), (0, 3, DOWN), (2, 0, DEGRADED)]
)
def test_sentinels_are_judged_by_their_majority(answers: int, silent: int, state: str) -> None:
    one = {"quorum": 2, "num-other-sentinels": 2, "ip": "10.0.0.1", "port": 6379}
    (found,) = judged("oi", [one] * answers, ["10.0.0.9:26379 TimeoutError"] * silent)
    assert found.state == state
    if answers == 3:
        assert judged("oi", [one, one, {**one, "ip": "10.0.0.2"}], [])[0].state == DEGRADED


async def test_the_work_is_moved_on_request(redis: Redis) -> None:
    one, two = Host(redis, "host-a"), Host(redis, "host-b")
    await one.lease.take()
    share = Share("publisher", "host-a", ["host-b"], [], {})
    await hosts.ask(redis, share, one.clock.now_ms())

    with pytest.raises(Lost, match="given to another host: asked"):
        await one.lease.keep()
    await one.lease.give_up()
    await two.lease.take()

    now = await hosts.until_moved(redis, share, FakeClock())
    assert now is not None
    assert (now.works, now.handover["cause"], now.handover["before"]) == ("host-b", "asked", "host-a")
    assert hosts.told(now.handover).endswith("host-a to host-b, asked, 0.0 s without an owner")


async def test_who_gave_its_work_away_does_not_take_it_back_at_once(redis: Redis) -> None:
    """It begins anew within a quarter of a second; the other looks twice a second."""
    one = Host(redis, "host-a")
    await one.lease.take()
    one.lease.why = "asked"
    await one.lease.give_up()

    again = Host(redis, "host-a")
    await again.lease.take()  # nobody else came

    assert again.clock.slept == [LOOK_S] * round(GIVES_WAY_S / LOOK_S)
    assert b"released" not in await redis.hgetall("oi:handover:publisher")


@pytest.mark.parametrize(
    ("egress", "age_s", "its_ban", "moves"),
    [
        ("b", 1, False, True),
        ("a", 1, False, False),
        ("b", 60, False, False),
        ("b", 1, True, False),
        ("", 1, False, False),
    ],
)
async def test_a_banned_address_gives_its_work_to_one_that_may_go_on(
    redis: Redis, egress: str, age_s: float, its_ban: bool, moves: bool
) -> None:
    """Only to a standby that is there, goes another way, and is not banned itself."""
    one = Host(redis, "host-a")
    one.service.egress, one.service.wish = "a", "banned"
    await one.lease.take()
    said = {"beat": one.clock.now_ms() - age_s * 1000, "standby": "standby; host-a works", "egress": egress}
    await redis.hset("oi:hosts", mapping={"host-b publisher": json.dumps(said), "host-c publisher": "[]"})
    if its_ban:
        await redis.set("oi:ban:b", one.clock.now_ms() + 60_000)

    assert await one.lease._another_may() == moves
    if moves:
        with pytest.raises(Lost, match="given to another host: banned"):
            await one.lease.keep()


async def test_a_wish_of_yesterday_or_for_another_moves_nothing(redis: Redis) -> None:
    one = Host(redis, "host-a")
    await one.lease.take()
    for asked_ms, of in ((one.clock.now_ms() - 60_000, "host-a"), (one.clock.now_ms(), "host-b")):
        await redis.hset("oi:handover:publisher", mapping={"asked": asked_ms, "of": of})
        await one.lease._yield_if_asked()


async def test_nobody_is_asked_to_stop_where_nobody_would_go_on(redis: Redis) -> None:
    with pytest.raises(Refused, match="no other host stands by"):
        await hosts.ask(redis, Share("publisher", "host-a", [], [], {}), NOW_MS)
    assert not await redis.keys("oi:handover:*")
    with pytest.raises(Transient, match="is none of"):
        hosts.require([], "redis")
    for service in ("all", "publisher"):  # it said that it is none of those it named
        with pytest.raises(Transient, match="nobody has signed in"):
            hosts.require([], service)


async def test_a_service_without_a_standby_keeps_no_other_from_moving(redis: Redis, redis_url: str) -> None:
    """Of `all` those behind it stayed on the host that was about to go down."""
    now_ms = SystemClock().now_ms()
    for service in ("ws_daemon", "publisher"):
        await redis.set(LEASE + service, "host-a 1 1")
    signs = {"host-a ws_daemon": "", "host-a publisher": "", "host-b publisher": "standby; host-a works"}
    said = {name: json.dumps({"beat": now_ms, "standby": standby}) for name, standby in signs.items()}
    await redis.hset("oi:hosts", mapping=said)

    async def asked() -> bool:
        return bool(await redis.hexists(HANDOVER + "publisher", "of"))

    async def give() -> None:
        await eventually(asked)
        await redis.set(LEASE + "publisher", "host-b 1 1")

    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(give())
        told = await oi("handover", "all", env={"REDIS_URL": redis_url})

    assert told.exit_status == 1
    assert told.out.splitlines() == ["ws_daemon: host-a works, and no other host stands by", "publisher: none yet"]


async def test_status_shows_the_hosts_where_there_are_two(redis: Redis) -> None:
    world = World()
    seen = await world.seen(redis)
    assert status(seen, SETTINGS, "here").hosts == []
    found = status(seen, SETTINGS, "here", both(there("host-a"), there("host-b", standby="x")))
    assert [hop.hop for hop in found.hops][-1] == "hosts"
    assert [share.service for share in found.hosts] == ["publisher"]  # the others are not used here


def test_digests_tell_settings_apart_and_hold_no_secret() -> None:
    @dataclass(frozen=True)
    class Told(CommonSettings):
        key: str = take(agreed.BACKEND_API_KEY)
        oi_max_age_s: float = take(agreed.OI_MAX_AGE)

    one = Told("redis://h", "host-a", "127.0.0.1", 0, "info", "text", "a-key", 60.0)
    assert digests(one) == digests(replace(one, host_id="host-b", key="other", log_level="debug"))
    assert digests(one).keys() == {"OI_MAX_AGE_SEC"}
    assert digests(one) != digests(replace(one, oi_max_age_s=61.0))
    assert len(version("publisher")) == 8
    assert version("publisher") != version("oi_poller")
