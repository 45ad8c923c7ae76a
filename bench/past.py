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
from bench.usage import cpu_s, resident_mib
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
        results.ours("keeper_steady", await busy(rig, STEADY_S))
        results.ours("memory_month", resident_mib(rig.pid("oi_keeper")))
        await answers(results, rig, symbols)


async def asking(rig: Rig) -> float:
    """Per cent of a core from the first answer of the exchange to the last."""
    await until("the first week", lambda: told(rig, 1), within_s=60)
    begun_s, used_s = time.monotonic(), cpu_s(rig.pid("oi_keeper"))
    await until("every week", lambda: told(rig, UNTOLD), within_s=120, every_s=0.5)
    return 100 * (cpu_s(rig.pid("oi_keeper")) - used_s) / (time.monotonic() - begun_s)


async def told(rig: Rig, symbols: int) -> bool:
    async with rig.api.get(rig.origin("oi_keeper") + "/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if line.startswith("pipeline_history_backfilled")]
    return sum(float(line.rpartition(" ")[2]) for line in lines) >= symbols


async def busy(rig: Rig, seconds: float) -> float:
    """Per cent of a core."""
    used_s = cpu_s(rig.pid("oi_keeper"))
    await asyncio.sleep(seconds)
    return 100 * (cpu_s(rig.pid("oi_keeper")) - used_s) / seconds


async def answers(results: Results, rig: Rig, symbols: list[str]) -> None:
    port = rig.ports["api"] = free_port()
    await rig.start_service("funding_api", FUNDING_API_PORT=str(port))
    await until("the API listens", lambda: listening(port))
    since = int(time.time()) - WEEK_S
    week = [await asked_ms(rig, f"/history/{symbol}?from={since}&step=5m") for symbol in symbols[:QUESTIONS]]
    results.ours("history_week", statistics.median(week))
    results.notes["/history, the first time, ms"] = round(week[0], 1)
    await asked_ms(rig, "/changes")
    results.ours("history_changes", statistics.median([await asked_ms(rig, "/changes") for _ in range(QUESTIONS)]))
    results.notes["resident memory of funding_api after these questions, MiB"] = round(
        resident_mib(rig.pid("funding_api")), 1
    )


async def listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def asked_ms(rig: Rig, path: str) -> float:
    begun_s = time.perf_counter()
    async with rig.api.get(rig.origin("api") + path) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return 1000 * (time.perf_counter() - begun_s)
