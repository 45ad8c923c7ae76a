"""The chain at a brisk pace: how long a landed sweep takes to the backend, and a killed service to its job.

Sweeps every second, no latency. A service is killed with SIGKILL and started again at once by the bench, as a
supervisor would after its pause; the time runs from the kill.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgpack

from bench.results import Results
from bench.rig import Rig, now_ms, until
from bench.watch import Sweeps, batches
from shared.clock import from_iso
from shared.sweeplog import FIELD

CYCLES, KILLS, INTERVAL_S = 11, 3, "1"
Done = Callable[[Rig, int], Awaitable[int]]


async def measure(results: Results) -> None:
    async with Rig("--weight-limit", "1000000", OI_MIN_INTERVAL_SEC=INTERVAL_S, OI_MAX_REQ_PER_MIN="100000") as rig:
        await rig.start_redis()
        await rig.start_exchange()
        await rig.start_backend()
        for name in ("ws_daemon", "oi_poller", "publisher"):
            await rig.start_service(name)
        await until("a verified cycle", lambda: verified(rig, 0))
        results.ours("landed_posted", statistics.median(await landed_to_posted(rig)))
        for name, done in JOBS.items():
            took = [await killed(rig, name, done) for _ in range(KILLS)]
            results.ours(f"restart_{name}", statistics.median(took))
            results.notes[f"kill -9 of {name}, worst s"] = round(max(took), 2)


async def landed_to_posted(rig: Rig) -> list[float]:
    """Milliseconds from the entry in the stream to the arrival of the POST, for so many cycles."""
    known = max(batch.number for batch in await batches(rig, 0))
    sweeps = Sweeps(rig.redis)
    landed = [await sweeps.next() for _ in range(CYCLES)]
    await until("the last batch", lambda: _since(rig, landed[-1].landed_ms))
    arrived = [batch.received_ms for batch in await batches(rig, known)]
    return [float(min(at for at in arrived if at >= one.landed_ms) - one.landed_ms) for one in landed]


async def _since(rig: Rig, since_ms: int) -> bool:
    return any(batch.received_ms >= since_ms for batch in await batches(rig, 0))


async def killed(rig: Rig, name: str, done: Done) -> float:
    """Seconds from the kill to when the new process first did its job, by its own stamp."""
    await until("a verified cycle", lambda: verified(rig, now_ms() - 2500))
    at_ms = now_ms()
    rig.children[name].kill()
    rig.children[name].start()
    done_ms = await until(f"{name} at work again", lambda: done(rig, at_ms), every_s=0.01)
    return (done_ms - at_ms) / 1000


async def marks_written(rig: Rig, since_ms: int) -> int:
    """When marks were seen in Redis that only the process started after the kill can have written; 0: not yet."""
    stored: Any = await rig.redis.hget("oi:mark", "BTCUSDT")
    return now_ms() if stored and json.loads(stored)["at"] >= since_ms else 0


async def sweep_begun(rig: Rig, since_ms: int) -> int:
    """When the first sweep that landed since then had begun: how long a sweep takes is not the restart's doing."""
    found: Any = await rig.redis.xrange("oi:sweeps", min=str(since_ms), count=1)
    return int(msgpack.unpackb(found[0][1][FIELD])["start"]) if found else 0


async def verified(rig: Rig, since_ms: int) -> int:
    """When the publisher said so; it does only when the backend was seen to serve the batch."""
    try:
        told = await rig.get("publisher", "/healthz")
    except aiohttp.ClientError:
        return 0
    at_ms = from_iso(told["lastSuccess"]) if told["state"] == "ok" else 0
    return at_ms if at_ms >= since_ms else 0


JOBS: dict[str, Done] = {"ws_daemon": marks_written, "oi_poller": sweep_begun, "publisher": verified}
