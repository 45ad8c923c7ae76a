"""One sweep of open interest over 341 symbols, each answer 50 ms away: CPU of the process that asks, and wall time.

Ours is the whole oi_poller at work: universe, marks from Redis, the sweep, its write, heartbeat and metrics are in its
CPU. A peer only fetches; cryptofeed, which takes 18 s, during `bench.fresh`. The stand-in answers on the same cores and
so bounds the wall time of everybody.
"""

from __future__ import annotations

import statistics

from bench.peer import BARE, CCXT, REQUESTS, TARDIS, Peer
from bench.results import Results
from bench.rig import Rig
from bench.usage import cpu_s
from bench.watch import Sweeps

LATENCY_MS = 50.0
OURS, WARM_UP = 8, 2
TIMES = {BARE: (4, 20.0), REQUESTS: (4, 30.0), CCXT: (3, 40.0), TARDIS: (2, 40.0)}


async def measure(results: Results) -> None:
    async with Rig("--clock-in-values", "--weight-limit", "1000000", OI_MIN_INTERVAL_SEC="1") as rig:
        await rig.start_redis()
        symbols = await rig.start_exchange(LATENCY_MS)
        await rig.start_service("ws_daemon")
        await rig.start_service("oi_poller", OI_MAX_REQ_PER_MIN="100000", OI_WEIGHT_RESERVE="0")
        cpu, walls = await steady(rig, OURS)
        results.ours("sweep_cpu", cpu)
        results.ours("sweep_wall", statistics.median(walls))
        for name in ("ws_daemon", "oi_poller"):
            rig.children[name].stop()
        for peer, (times, within_s) in TIMES.items():
            await theirs(results, rig, peer, symbols, times, within_s)


async def steady(rig: Rig, sweeps: int) -> tuple[float, list[float]]:
    """CPU seconds of the poller from landing to landing, and how long the sweeps took."""
    landed = Sweeps(rig.redis)
    for _ in range(WARM_UP):
        await landed.next()
    before_s = cpu_s(rig.pid("oi_poller"))
    walls = [(await landed.next()).took_s for _ in range(sweeps)]
    return (cpu_s(rig.pid("oi_poller")) - before_s) / sweeps, walls


async def theirs(results: Results, rig: Rig, peer: Peer, symbols: list[str], times: int, within_s: float) -> None:
    with results.of(peer.name, "sweep_cpu", "sweep_wall"):
        told = await peer.sweeps(rig.origin("exchange"), symbols, times, within_s)
        results.versions[peer.name] = told["version"]
        results.theirs("sweep_cpu", peer.name, statistics.median(told["cpu_s"]))
        results.theirs("sweep_wall", peer.name, statistics.median(told["wall_s"]))
