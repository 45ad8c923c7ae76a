"""The faults of two hosts: each hurts one, says what came of it, and leaves both whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.chaos.watch import now_ms
from tests.hosts import net
from tests.hosts.outcome import STEADY_S, Outcome, gather_on, stands_by, watch
from tests.hosts.rig import SERVICES, Rig
from tests.hosts.seen import until
from tests.hosts.upgrade import INTERVAL_S, handover_of_all, rolling_upgrade
from tests.hosts.watched import alerts

LEASE_S = 5.0
IN_FLIGHT_S = 0.3  # requests that were under way when the first was refused
SETTLES_S = 3.0  # a batch that was under way when the owner was hurt


async def power_cut(rig: Rig) -> Outcome:
    """Host a with all owners and the master: SIGKILL of everything."""
    await gather_on(rig, "a")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    rig.kill_host("a")
    outcome.verified_s = await rig.verified(at_ms)
    outcome.must(outcome.verified_s <= 15, "more than 15 s")
    await watch(rig, at_ms, before, outcome, turns=1)
    outcome.must(outcome.facts["lost"] <= 1, "more sweeps were lost than may not have been replicated")
    rig.start_redis("a", replica_of="b")
    rig.start_sentinel("a")
    rig.start_services("a")
    return outcome


async def cable_pulled(rig: Rig, away_s: float = 60.0) -> Outcome:
    """Host a, with all owners and the master, hears nothing, and is back after a while."""
    await gather_on(rig, "a")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    net.cable("a", plugged=False)
    outcome.verified_s = await rig.verified(at_ms)
    outcome.must(outcome.verified_s <= 15, "more than 15 s")
    await asyncio.sleep(max(0.0, away_s - (now_ms() - at_ms) / 1000))
    net.cable("a", plugged=True)
    outcome.facts["standby_s"] = round(await until(lambda: stands_by(rig, "a")), 1)
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms + round(SETTLES_S * 1000), before, outcome, turns=1)
    return outcome


async def master_killed(rig: Rig) -> Outcome:
    """The server alone; the services of its host go on."""
    outcome, before, at_ms, master = Outcome(), await rig.sweeps(), now_ms(), await rig.master()
    rig.children[master, "redis"].kill()
    outcome.verified_s = await rig.verified(at_ms)
    outcome.must(outcome.verified_s <= 10, "more than 10 s")
    await watch(rig, at_ms, before, outcome, turns=2)
    outcome.must(outcome.facts["lost"] <= 1, "more sweeps were lost than may not have been replicated")
    rig.start_redis(master, replica_of="b" if master == "a" else "a")
    return outcome


async def master_frozen(rig: Rig) -> Outcome:
    """For 10 s; then it wakes and believes to be the master."""
    outcome, before, at_ms, master = Outcome(), await rig.sweeps(), now_ms(), await rig.master()
    rig.children[master, "redis"].signal(signal.SIGSTOP)
    await asyncio.sleep(0.2)
    waking = asyncio.create_task(_wake(rig, master))
    outcome.verified_s = await rig.verified(at_ms)
    outcome.must(outcome.verified_s <= 10, "more than 10 s")
    await waking
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms, before, outcome, turns=2)
    outcome.must(outcome.facts["lost"] <= 1, "more sweeps were lost than may not have been replicated")
    return outcome


async def _wake(rig: Rig, host: str) -> None:
    await asyncio.sleep(10)
    rig.children[host, "redis"].signal(signal.SIGCONT)


async def publisher_killed(rig: Rig) -> Outcome:
    """For good, on one host."""
    return await _one_killed(rig, "publisher")


async def poller_killed(rig: Rig) -> Outcome:
    return await _one_killed(rig, "oi_poller")


async def _one_killed(rig: Rig, service: str) -> Outcome:
    shares = await rig.shares()
    host = shares[service].works.removeprefix("host-")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    rig.children[host, service].kill()
    other = "b" if host == "a" else "a"

    async def moved() -> bool:
        return await rig.owner(service) == other

    outcome.facts["moved_s"] = round(await until(moved), 1)
    outcome.must(outcome.facts["moved_s"] <= 8, "more than 8 s until it worked on the other host")
    outcome.verified_s = await rig.verified(at_ms)
    now = await rig.shares()
    stayed = all(now[name].works == shares[name].works for name in SERVICES if name != service)
    outcome.must(stayed, "another service moved, too")
    await watch(rig, at_ms, before, outcome, turns=2)
    rig.start_service(host, service)
    return outcome


async def owner_stopped(rig: Rig, stopped_s: float = 30.0) -> Outcome:
    """SIGSTOP of the publisher, longer than its lease; then it wakes in the middle of what it did."""
    host = await rig.owner("publisher")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    rig.children[host, "publisher"].signal(signal.SIGSTOP)
    outcome.verified_s = await rig.verified(at_ms)
    outcome.must(outcome.verified_s <= 15, "more than 15 s")
    await asyncio.sleep(max(0.0, stopped_s - (now_ms() - at_ms) / 1000))
    rig.children[host, "publisher"].signal(signal.SIGCONT)

    async def back() -> bool:
        status, detail = await rig.health(host, "publisher")
        return status == 200 and detail.startswith("standby; ")

    outcome.facts["standby_s"] = round(await until(back), 1)
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms + round(SETTLES_S * 1000), before, outcome, turns=1)
    return outcome


async def cut_off_with_the_master(rig: Rig) -> Outcome:
    """The owners reach the backend and a master of their own, and neither of the other hosts."""
    await gather_on(rig, "a")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    net.cut("a", ["b", "c"])
    outcome.verified_s = await rig.verified(at_ms)
    await asyncio.sleep(STEADY_S)
    batches = [batch for batch in await rig.batches(at_ms) if batch["from"] == net.ADDRESSES["a"]]
    last_s = max((batch["receivedAt"] - at_ms for batch in batches), default=0) / 1000
    outcome.facts["posted_until_s"] = round(last_s, 1)
    outcome.must(last_s <= LEASE_S, f"it went on posting for {last_s:.1f} s")
    net.cut("a", ["b", "c"], undo=True)
    outcome.facts["standby_s"] = round(await until(lambda: stands_by(rig, "a")), 1)
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms, before, outcome, turns=2)
    return outcome


async def banned(rig: Rig, for_s: float = 30.0) -> Outcome:
    """418 to the address of the host that sweeps."""
    shares = await rig.shares()
    host = shares["oi_poller"].works.removeprefix("host-")
    other = "b" if host == "a" else "a"
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    of_bans_before = await rig.refused(host)
    await rig.exchange(host, {"fault": "ban", "ban_s": for_s})

    async def told() -> bool:
        return await rig.refused(host) > of_bans_before

    await until(told)
    told_ms = now_ms()
    await asyncio.sleep(IN_FLIGHT_S)
    refused = await rig.refused(host)

    async def moved() -> bool:
        return await rig.owner("oi_poller") == other

    outcome.facts["moved_s"] = round(await until(moved), 1)

    async def swept() -> bool:
        return bool(await rig.sweeps_since(told_ms))

    await until(swept)
    first_ms = (await rig.sweeps_since(told_ms))[0]
    outcome.facts["sweep_after_s"] = round((first_ms - told_ms) / 1000, 1)
    outcome.must(outcome.facts["sweep_after_s"] <= INTERVAL_S, "no sweep from the other address within an interval")
    outcome.verified_s = await rig.verified(at_ms)
    await asyncio.sleep(STEADY_S)
    outcome.facts["during_ban"] = await rig.refused(host) - refused
    outcome.must(outcome.facts["during_ban"] == 0, "requests came from the banned address")
    now = await rig.shares()
    stayed = all(now[name].works == shares[name].works for name in SERVICES if name != "oi_poller")
    outcome.must(stayed, "another service moved, too")
    await watch(rig, at_ms, before, outcome, turns=1)
    await asyncio.sleep(max(0.0, for_s + 3 - (now_ms() - at_ms) / 1000))
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
    "alerts": alerts,
}
