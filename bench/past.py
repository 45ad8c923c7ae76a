"""What the past costs: a month of it in the keeper's file, and the keeper and the API at work on that file.

The exchange is asked for the week of the symbols that the file has none of, two a second, then for nothing: CPU of the
keeper meanwhile and afterwards, and its memory in the end.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from bench.month import Month, Walker
from bench.results import Results
from bench.rig import SYMBOLS, Rig, now_ms, until
from bench.usage import Spent, resident_mib
from bench.watch import counter
from dev.exchange.venue import Settings, Venue
from dev.redis_server import free_port
from shared.history.file import Series

UNTOLD = 60  # symbols left to ask the exchange for
SETTLED_S, STEADY_S = 10.0, 60.0  # two rounds of oi:changes
WEEK_S = 7 * 86_400
QUESTIONS = 15


async def measure(results: Results) -> None:
    async with Rig(HISTORY_BACKFILL="on") as rig:
        await rig.start_redis()
        symbols = await rig.start_exchange()
        books, draw = Venue(Settings()).books, random.Random(1)
        walkers = [Walker(Series(s, books[s].contract.onboard_ms), books[s], draw) for s in symbols]
        month = Month(rig.env["HISTORY_PATH"], walkers, now_ms(), results)
        await asyncio.to_thread(month.write, SYMBOLS - UNTOLD)
        await asyncio.to_thread(month.ask)
        for name in ("ws_daemon", "oi_poller", "oi_keeper"):
            await rig.start_service(name)
        results.ours("keeper_asking", await asking(rig))
        await asyncio.sleep(SETTLED_S)
        results.ours("keeper_steady", await steady(rig))
        results.ours("memory_month", resident_mib(rig.pid("oi_keeper")))
        await answers(results, rig, symbols)


async def asking(rig: Rig) -> float:
    """Per cent of a core from the first answer of the exchange to the last."""
    await until("the first week", lambda: told(rig, 1), within_s=60)
    spent = Spent(rig.pid("oi_keeper"))
    await until("every week", lambda: told(rig, UNTOLD), within_s=120, every_s=0.5)
    return 100 * spent.share()


async def told(rig: Rig, symbols: int) -> bool:
    return await counter(rig, "oi_keeper", "pipeline_history_backfilled_total") >= symbols


async def steady(rig: Rig) -> float:
    """Per cent of a core."""
    spent = Spent(rig.pid("oi_keeper"))
    await asyncio.sleep(STEADY_S)
    return 100 * spent.share()


async def answers(results: Results, rig: Rig, symbols: list[str]) -> None:
    port = rig.ports["api"] = free_port()
    await rig.start_service("funding_api", FUNDING_API_PORT=str(port))
    await asyncio.to_thread(rig.children["funding_api"].until_listening, port)
    since = int(time.time()) - WEEK_S
    week = [await asked_ms(rig, f"/history/{symbol}?from={since}&step=5m") for symbol in symbols[:QUESTIONS]]
    results.ours("history_week", statistics.median(week))
    results.notes["/history, the first time, ms"] = round(week[0], 1)
    await asked_ms(rig, "/changes")
    results.ours("history_changes", statistics.median([await asked_ms(rig, "/changes") for _ in range(QUESTIONS)]))
    results.notes["resident memory of funding_api after these questions, MiB"] = round(
        resident_mib(rig.pid("funding_api")), 1
    )


async def asked_ms(rig: Rig, path: str) -> float:
    begun_s = time.perf_counter()
    async with rig.api.get(rig.origin("api") + path) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return 1000 * (time.perf_counter() - begun_s)
