"""``oi status``: the pipeline hop by hop. Pure; what it reads is a `Snapshot`.

``served`` decides whether the pipeline is down: it is while what is served is old, mostly missing, or unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from cli import hops, hosts, venues
from cli.hosts import Share
from cli.settings import Settings
from cli.show import DEGRADED, DOWN, EXIT, GOOD, OFF, UNKNOWN, Hop
from cli.state import Snapshot
from shared.clock import iso

JUDGED = (
    hops.feed,
    hops.marks,
    hops.universe,
    hops.sweep,
    hops.join,
    hops.delivery,
    hops.served,
    hops.alerts,
    hops.budget,
    hops.funding,
    hops.history,
)


class Status(msgspec.Struct, frozen=True):
    state: str
    at: str
    source: str
    hops: list[Hop]
    hosts: list[Share] = []  # empty where there is one host

    @property
    def exit_status(self) -> int:
        return EXIT[self.state]


def status(seen: Snapshot, settings: Settings, source: str, shares: Sequence[Share] = ()) -> Status:
    sharing = list(shares) if hosts.several(shares) else []
    where_used = (venues.hop(seen), hosts.hop(sharing) if sharing else None)
    found = [hops.dated(judge(seen, settings), seen) for judge in JUDGED]
    found += [hops.dated(hop, seen) for hop in where_used if hop]
    return Status(overall(found), iso(seen.now_ms), source, found, sharing)


def overall(found: Iterable[Hop]) -> str:
    states = {hop.hop: hop.state for hop in found}
    if states["served"] in {DOWN, UNKNOWN}:
        return states["served"]
    return DEGRADED if set(states.values()) - {GOOD, OFF} else GOOD


def without_redis(cause: str, health: Mapping[str, Mapping[str, str] | None], at_ms: int, source: str) -> Status:
    """What the services say of themselves, where Redis cannot be asked. None: it does not answer either."""
    found = [Hop("redis", DOWN, cause=cause)]
    for name, said in health.items():
        if said is None:
            found.append(Hop(name, UNKNOWN, cause="does not answer on its health port"))
            continue
        state = GOOD if said.get("state") == "ok" else DOWN
        found.append(Hop(name, state, counts=said.get("detail", ""), since=said.get("since")))
    publisher = next((hop.state for hop in found if hop.hop == "publisher"), UNKNOWN)
    return Status(DOWN if publisher == DOWN else UNKNOWN, iso(at_ms), source, found)
