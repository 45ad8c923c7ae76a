"""Ten times the symbols: does the cost grow no faster than they do?

Both sizes are measured in one run, without latency and without a limit. Costs are counted per second of feed, per
sweep and per cycle of the publisher. The stand-in may fall behind its own beat at this size, so ws_daemon's cost is
taken per row and scaled to ten times the rows; sweeps are measured while nobody listens to the stream.
"""

from __future__ import annotations

from bench.feed import cost
from bench.results import Results
from bench.rig import LIQUID_USD, QUIET_USD, SYMBOLS, Rig, until
from bench.sweeps import WARM_UP, steady
from bench.usage import cpu_s
from bench.watch import Sweeps

TIMES = 10
FEED_S, SWEEPS = 6.0, 2
ROWS_A_SECOND = 950
SERVICES = ("ws_daemon", "oi_poller", "publisher")
# Patience with a stand-in that is ten times its size; marks that stay good once the stream has been stopped.
SETTINGS = {
    "OI_MIN_INTERVAL_SEC": "2",
    "OI_MAX_REQ_PER_MIN": "100000",
    "BINANCE_WS_IDLE_SEC": "60",
    "MARK_MAX_AGE_SEC": "3600",
}


async def measure(results: Results) -> None:
    async with Rig("--weight-limit", "1000000", **SETTINGS) as rig:
        await rig.start_redis()
        await rig.start_exchange()
        await rig.start_backend()
        small = await costs(rig, SYMBOLS)
        for name in SERVICES:
            rig.children[name].stop()
        await grow(rig)
        await rig.redis.flushall()
        large = await costs(rig, SYMBOLS * TIMES)
    for name in SERVICES:
        results.ours(f"tenfold_{name}", large[name] / small[name])
        results.notes[f"{name}, CPU ms now and at 10 times the symbols"] = [
            round(found[name] * 1000, 1) for found in (small, large)
        ]


async def grow(rig: Rig) -> None:
    """New contracts until the stand-in lists ten times as many, of which ten times as many are liquid."""
    listed = (await rig.get("exchange", "/control"))["symbols"]["trading"]
    liquid = SYMBOLS * (TIMES - 1)
    await rig.control({"fault": "list", "count": liquid, "usd_volume": LIQUID_USD})
    await rig.control({"fault": "list", "count": listed * (TIMES - 1) - liquid, "usd_volume": QUIET_USD})


async def costs(rig: Rig, symbols: int) -> dict[str, float]:
    """CPU seconds: ws_daemon per second of feed, oi_poller per sweep, publisher per cycle."""
    await rig.start_service("ws_daemon", BINANCE_WS_CONNECTIONS="1")
    used_s, rows = await cost(rig, FEED_S)
    rig.children["ws_daemon"].stop()  # the stand-in makes frames only for those who listen: now it has time to answer
    await rig.start_service("oi_poller")
    await rig.start_service("publisher")
    sweeps = Sweeps(rig.redis)

    async def whole() -> bool:
        return (await sweeps.next()).symbols >= symbols

    await until(f"a sweep of {symbols}", whole, within_s=90)
    before_s = cpu_s(rig.pid("publisher"))
    sweep_s, _ = await steady(rig, SWEEPS)
    cycle_s = (cpu_s(rig.pid("publisher")) - before_s) / (WARM_UP + SWEEPS)
    feed_s = used_s / rows * ROWS_A_SECOND * symbols / SYMBOLS
    return {"ws_daemon": feed_s, "oi_poller": sweep_s, "publisher": cycle_s}
