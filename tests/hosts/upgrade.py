"""Work that is moved on purpose: a handover of all of it, and a new version on one host after the other."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tests.chaos.watch import now_ms
from tests.hosts.outcome import STEADY_S, Outcome, gather_on, watch
from tests.hosts.rig import SERVICES, Rig
from tests.hosts.seen import until

INTERVAL_S = 30.0  # OI_MAX_INTERVAL_SEC


async def handover_of_all(rig: Rig) -> Outcome:
    """As before an upgrade of the host that works."""
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    await asyncio.sleep(STEADY_S)
    await _hand_over(rig, outcome)
    outcome.verified_s = await rig.verified(now_ms())
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms, before, outcome, turns=2)
    await _nothing_missed(rig, outcome, at_ms)
    return outcome


async def rolling_upgrade(rig: Rig) -> Outcome:
    """The host that stands by, `oi handover all`, the other: as docs/two-hosts.md has it, between two versions."""
    await gather_on(rig, "a")
    outcome, before, at_ms = Outcome(), await rig.sweeps(), now_ms()
    versions = await rig.versions()
    await asyncio.sleep(STEADY_S)
    await _upgrade(rig, "b")
    between = await rig.versions()
    outcome.must(between["a"] == versions["a"] and between["b"] != versions["b"], f"of two versions: {between}")
    await _hand_over(rig, outcome)
    await _upgrade(rig, "a")
    after = await rig.versions()
    outcome.must(after["a"] == after["b"] == between["b"], f"of one version: {after}")
    outcome.verified_s = await rig.verified(now_ms())
    await asyncio.sleep(STEADY_S)
    await watch(rig, at_ms, before, outcome, turns=2)
    await _nothing_missed(rig, outcome, at_ms)
    return outcome


async def _upgrade(rig: Rig, host: str) -> None:
    """Of a host where nothing works: each service ends and begins, and stands by before the next is touched."""
    rig.trees[host] = next(tree for tree in rig.versions_there if tree != rig.trees[host])
    for service in SERVICES:  # in the order of deploy/install.sh
        assert rig.children[host, service].stop() == 0, service
        rig.start_service(host, service)

        async def stands_by(service: str = service) -> bool:
            status, detail = await rig.health(host, service)
            return status == 200 and detail.startswith("standby; ")

        await until(stands_by)


async def _hand_over(rig: Rig, outcome: Outcome) -> None:
    status, said = await rig.oi("c", "handover", "all")
    outcome.must(status == 0, f"oi handover all: {status} {said}")
    shares = await rig.shares()
    gaps = [float(shares[service].handover.get("without_s", "nan")) for service in SERVICES]
    outcome.facts["without_s"] = max(gaps)


async def _nothing_missed(rig: Rig, outcome: Outcome, since_ms: int) -> None:
    """Every sweep delivered, and once; ``widest_s``: between two batches, at most."""
    outcome.must(outcome.facts["twice"] == 0, "rows went out twice")
    undelivered = await rig.undelivered(since_ms)
    outcome.must(undelivered == 0, f"{undelivered} sweeps were not delivered")
    stored = [batch for batch in await rig.batches(since_ms) if batch["stored"]]
    at_ms = sorted(batch["receivedAt"] for batch in stored)
    widest_s = max(later - earlier for earlier, later in pairwise(at_ms)) / 1000
    outcome.facts |= {"cycles": len({batch["timestamp"] for batch in stored}), "widest_s": round(widest_s, 1)}
    outcome.must(widest_s <= INTERVAL_S, "no batch for longer than an interval")
