"""How long a mark frame takes through ws_daemon: from its first byte handed over until its marks stand in Redis.

Eight times as many frames as in life (the stand-in's clock runs that fast), so that a 99th percentile means something.
"""

from __future__ import annotations

import asyncio

from bench.feed import WARM_UP_S
from bench.frames import Monitor, Relay, delays_ms, percentile
from bench.results import Results
from bench.rig import Rig

CLOCK_RATE, SECONDS = "8", 16.0


async def measure(results: Results) -> None:
    async with Rig("--clock-rate", CLOCK_RATE) as rig:
        await rig.start_redis()
        await rig.start_exchange()
        monitor = Monitor(rig.ports["redis"])
        job = asyncio.create_task(monitor.follow())
        async with Relay(rig.ports["exchange"]) as relay:
            url = f"ws://127.0.0.1:{relay.port}"
            await rig.start_service("ws_daemon", BINANCE_WS_CONNECTIONS="1", BINANCE_WS_URL=url)
            await monitor.ready.wait()
            await asyncio.sleep(WARM_UP_S)
            relay.sent_ns.clear()
            await asyncio.sleep(SECONDS)
            rig.children["ws_daemon"].stop()
        job.cancel()
        delays = delays_ms(relay, monitor)
    results.ours("visible_p99", percentile(delays, 0.99))
    results.notes["frames timed"] = len(delays)
    results.notes["mark frame -> Redis, median ms"] = round(percentile(delays, 0.5), 2)
    results.notes["mark frame -> Redis, worst ms"] = round(delays[-1], 2)
