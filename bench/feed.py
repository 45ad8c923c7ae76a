"""What ws_daemon costs for each second of the whole feed: two mark frames, one of tickers, on one connection or two."""

from __future__ import annotations

import asyncio

from bench.peer import BARE, CCXT, REQUESTS, Peer
from bench.results import Results
from bench.rig import Rig, until
from bench.usage import Spent
from bench.watch import counter

SECONDS, WARM_UP_S = 8.0, 3.0
ROWS = "pipeline_mark_rows_total"


async def measure(results: Results) -> None:
    async with Rig() as rig:
        await rig.start_redis()
        await rig.start_exchange()
        for connections in (1, 2):
            await rig.start_service("ws_daemon", BINANCE_WS_CONNECTIONS=str(connections))
            cost_s, rows = await cost(rig, SECONDS)
            results.ours(f"feed_cpu_{connections}", cost_s * 1000)
            results.notes[f"mark rows a second, {connections} connection(s)"] = round(rows)
            rig.children["ws_daemon"].stop()
        for peer in (REQUESTS, CCXT):
            await theirs(results, rig, peer)
        await theirs(results, rig, BARE, rig.origin("redis", "redis"))


async def theirs(results: Results, rig: Rig, peer: Peer, *more: str) -> None:
    with results.of(peer.name, "feed_cpu_1"):
        told = await peer.feed(rig.origin("exchange", "ws"), SECONDS, *more)
        results.theirs("feed_cpu_1", peer.name, told["cpu_s"][0] * 1000)


async def cost(rig: Rig, seconds: float) -> tuple[float, float]:
    """CPU seconds and mark rows, both per second of feed, of a ws_daemon that was just started."""

    async def written() -> bool:
        return int(await rig.redis.hlen("oi:mark")) > 0

    await until("marks in Redis", written)
    await asyncio.sleep(WARM_UP_S)
    spent, rows = Spent(rig.pid("ws_daemon")), await counter(rig, "ws_daemon", ROWS)
    await asyncio.sleep(seconds)
    return spent.share(), (await counter(rig, "ws_daemon", ROWS) - rows) / spent.seconds()
