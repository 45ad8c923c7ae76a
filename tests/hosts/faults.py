"""The faults of two hosts: each hurts one, says what came of it, and leaves both whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.chaos.watch import now_ms
from tests.hosts import net
from tests.hosts.outcome import STEADY_S, Outcome
from tests.hosts.rig import Rig
from tests.hosts.seen import until
from tests.hosts.upgrade import INTERVAL_S, handover_of_all, rolling_upgrade

LEASE_S = 5.0
IN_FLIGHT_S = 0.3  # requests that were under way when the first was refused
SETTLES_S = 3.0  # a batch that was under way when the owner was hurt
OTHER = {"a": "b", "b": "a"}


async def power_cut(rig: Rig) -> Outcome:
    """Host a with all owners and the master: SIGKILL of everything."""
    await rig.gather_on("a")
    outcome = await Outcome.begin(rig)
    rig.kill_host("a")
    await outcome.until_verified(15)
    await outcome.judge(turns=1)
    rig.start_redis("a", replica_of="b")
    rig.start_sentinel("a")
    rig.start_services("a")
    return outcome


async def cable_pulled(rig: Rig) -> Outcome:
    """Host a, with all owners and the master, hears nothing, and is back after a minute."""
    await rig.gather_on("a")
    outcome = await Outcome.begin(rig)
    net.cable("a", plugged=False)
    await outcome.until_verified(15)
    await outcome.until(60)
    net.cable("a", plugged=True)
    await outcome.took("standby_s", lambda: rig.stands_by("a"))
    await asyncio.sleep(STEADY_S)
    return await outcome.judge(turns=1, settles_s=SETTLES_S)


async def master_killed(rig: Rig) -> Outcome:
    """The server alone; the services of its host go on."""
    master = await rig.master()
    outcome = await Outcome.begin(rig)
    rig.children[master, "redis"].kill()
    await outcome.until_verified(10)
    await outcome.judge(turns=2)
    rig.start_redis(master, replica_of=OTHER[master])
    return outcome


async def master_frozen(rig: Rig) -> Outcome:
    """For 10 s; then it wakes and believes to be the master."""
    master = rig.children[await rig.master(), "redis"]
    outcome = await Outcome.begin(rig)
    master.signal(signal.SIGSTOP)
    asyncio.get_running_loop().call_later(10, master.signal, signal.SIGCONT)
    await asyncio.sleep(0.2)
    await outcome.until_verified(10)
    await outcome.until(10 + STEADY_S)
    return await outcome.judge(turns=2)


async def publisher_killed(rig: Rig) -> Outcome:
    """For good, on one host."""
    return await _one_killed(rig, "publisher")


async def poller_killed(rig: Rig) -> Outcome:
    return await _one_killed(rig, "oi_poller")


async def _one_killed(rig: Rig, service: str) -> Outcome:
    owners = await rig.owners()
    host = owners[service]
    outcome = await Outcome.begin(rig)
    rig.children[host, service].kill()
    moved_s = await outcome.took("moved_s", lambda: rig.owns(OTHER[host], service))
    outcome.must(moved_s <= 8, "more than 8 s until it worked on the other host")
    await outcome.until_verified(60)
    await outcome.nobody_else_moved(service, owners)
    await outcome.judge(turns=2)
    rig.start_service(host, service)
    return outcome


async def owner_stopped(rig: Rig) -> Outcome:
    """SIGSTOP of the publisher for 30 s, longer than its lease; then it wakes in the middle of what it did."""
    host = (await rig.owners())["publisher"]
    outcome = await Outcome.begin(rig)
    rig.children[host, "publisher"].signal(signal.SIGSTOP)
    await outcome.until_verified(15)
    await outcome.until(30)
    rig.children[host, "publisher"].signal(signal.SIGCONT)
    await outcome.took("standby_s", lambda: rig.stands_by(host, "publisher"))
    await asyncio.sleep(STEADY_S)
    return await outcome.judge(turns=1, settles_s=SETTLES_S)


async def cut_off_with_the_master(rig: Rig) -> Outcome:
    """The owners reach the backend and a master of their own, and neither of the other hosts."""
    await rig.gather_on("a")
    outcome = await Outcome.begin(rig)
    net.cut("a", ["b", "c"])
    await outcome.until_verified(60)
    await asyncio.sleep(STEADY_S)
    posted_ms = [b["receivedAt"] for b in await rig.batches(outcome.at_ms) if b["from"] == net.ADDRESSES["a"]]
    last_s = max((ms - outcome.at_ms for ms in posted_ms), default=0) / 1000
    outcome.facts["posted_until_s"] = round(last_s, 1)
    outcome.must(last_s <= LEASE_S, f"it went on posting for {last_s:.1f} s")
    net.cut("a", ["b", "c"], undo=True)
    await outcome.took("standby_s", lambda: rig.stands_by("a"))
    await asyncio.sleep(STEADY_S)
    return await outcome.judge(turns=2)


async def banned(rig: Rig, for_s: float = 30.0) -> Outcome:
    """418 to the address of the host that sweeps."""
    owners = await rig.owners()
    host = owners["oi_poller"]
    outcome, of_bans_before = await Outcome.begin(rig), await rig.refused(host)
    await rig.exchange(host, {"fault": "ban", "ban_s": for_s})

    async def told() -> bool:
        return await rig.refused(host) > of_bans_before

    await until(told)
    told_ms = now_ms()
    await asyncio.sleep(IN_FLIGHT_S)
    refused = await rig.refused(host)
    await outcome.took("moved_s", lambda: rig.owns(OTHER[host], "oi_poller"))

    async def swept() -> bool:
        return bool(await rig.sweeps_since(told_ms))

    await until(swept)
    after_s = ((await rig.sweeps_since(told_ms))[0] - told_ms) / 1000
    outcome.facts["sweep_after_s"] = round(after_s, 1)
    outcome.must(after_s <= INTERVAL_S, "no sweep from the other address within an interval")
    await outcome.until_verified(60)
    await asyncio.sleep(STEADY_S)
    outcome.facts["during_ban"] = await rig.refused(host) - refused
    outcome.must(outcome.facts["during_ban"] == 0, "requests came from the banned address")
    await outcome.nobody_else_moved("oi_poller", owners)
    await outcome.judge(turns=1)
    await outcome.until(for_s + 3)
    return outcome


FAULTS: dict[str, Callable[[Rig], Awaitable[Outcome]]] = {
    "handover of all": handover_of_all,
    "rolling upgrade": rolling_upgrade,
    "publisher killed for good": publisher_killed,
    "poller killed for good": poller_killed,
    "master of Redis killed": master_killed,
    "master of Redis frozen 10 s": master_frozen,
    "owner stopped 30 s": owner_stopped,
    "418 on one address": banned,
    "cut off with the master": cut_off_with_the_master,
    "cable pulled": cable_pulled,
    "power cut": power_cut,
}
