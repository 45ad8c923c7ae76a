"""Work that is moved on purpose: a handover of all of it, and a new version on one host after the other."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tests.chaos.watch import now_ms
from tests.hosts.outcome import STEADY_S, Outcome
from tests.hosts.rig import SERVICES, Rig
from tests.hosts.seen import until

INTERVAL_S = 30.0  # OI_MAX_INTERVAL_SEC


async def handover_of_all(rig: Rig) -> Outcome:
    """As before an upgrade of the host that works."""
    outcome = await Outcome.begin(rig)
    await asyncio.sleep(STEADY_S)
    await _hand_over(rig, outcome)
    return await _judge(rig, outcome)


async def rolling_upgrade(rig: Rig) -> Outcome:
    """The host that stands by, `oi handover all`, the other: as docs/two-hosts.md has it, between two versions."""
    await rig.gather_on("a")
    outcome, versions = await Outcome.begin(rig), await rig.versions()
    await asyncio.sleep(STEADY_S)
    await _upgrade(rig, "b")
    between = await rig.versions()
    outcome.must(between["a"] == versions["a"] and between["b"] != versions["b"], f"of two versions: {between}")
    await _hand_over(rig, outcome)
    await _upgrade(rig, "a")
    after = await rig.versions()
    outcome.must(after["a"] == after["b"] == between["b"], f"of one version: {after}")
    return await _judge(rig, outcome)


async def _upgrade(rig: Rig, host: str) -> None:
    """Of a host where nothing works: each service ends and begins, and stands by before the next is touched."""
    rig.trees[host] = next(tree for tree in rig.versions_there if tree != rig.trees[host])
    for service in SERVICES:  # in the order of deploy/install.sh
        assert rig.children[host, service].stop() == 0, service
        rig.start_service(host, service)
        await until(lambda service=service: rig.stands_by(host, service))


async def _hand_over(rig: Rig, outcome: Outcome) -> None:
    status, said = await rig.oi("c", "handover", "all")
    outcome.must(status == 0, f"oi handover all: {status} {said}")
    shares = await rig.shares()
    outcome.facts["without_s"] = max(float(shares[of].handover.get("without_s", "nan")) for of in SERVICES)


async def _judge(rig: Rig, outcome: Outcome) -> Outcome:
    """Every sweep delivered, and once; ``widest_s``: between two batches, at most."""
    outcome.verified_s = await rig.verified(now_ms())
    await asyncio.sleep(STEADY_S)
    await outcome.judge(turns=2)
    outcome.must(outcome.facts["twice"] == 0, "rows went out twice")
    undelivered = await rig.undelivered(outcome.at_ms)
    outcome.must(undelivered == 0, f"{undelivered} sweeps were not delivered")
    stored = [batch for batch in await rig.batches(outcome.at_ms) if batch["stored"]]
    at_ms = sorted(batch["receivedAt"] for batch in stored)
    widest_s = max(later - earlier for earlier, later in pairwise(at_ms)) / 1000
    outcome.facts |= {"cycles": len({batch["timestamp"] for batch in stored}), "widest_s": round(widest_s, 1)}
    outcome.must(widest_s <= INTERVAL_S, "no batch for longer than an interval")
    return outcome
