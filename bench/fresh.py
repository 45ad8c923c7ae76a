"""How old what is served is, at the pace the limits allow: 2,400 of weight a minute, answers 50 ms away, 341 symbols.

Ours is read at the backend, from the clock that the stand-in writes into its values; the age of a mark is taken when
its batch arrives. A peer has no backend: its values count from when it holds them. Everybody has a stand-in, and so a
weight limit, of his own, at the same time. Resident memory is read at the end of this run.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from bench import ages, sweeps
from bench.ages import Seen
from bench.peer import CRYPTOFEED, PEERS, Peer
from bench.results import Results
from bench.rig import SYMBOLS, Rig, now_ms
from bench.rows import SERVICES
from bench.usage import resident_mib
from bench.watch import Batch, batches
from dev.exchange.values import made_ms

SECONDS, WARM_UP_S, LATENCY_MS = 66.0, 12.0, 50.0
ALONE_S = 130.0  # until oi_poller has watched a whole minute of the exchange without seeing anybody else
AGE_ROWS = ("oi_age_median", "oi_age_worst", "refused")
STAND_IN = ("--clock-in-values", "--weight-limit", "2400")
NO_ALERTS = {"OI_MIN_DELTA_CONTRACTS": "1e12"}  # clocks jump like no open interest does


async def measure(results: Results) -> None:
    peers = [theirs(results, peer) for peer in PEERS]
    await asyncio.gather(ours(results), *peers, slow_sweep(results))


async def slow_sweep(results: Results) -> None:
    """One sweep of cryptofeed takes 18 s of waiting: it is measured here, where there is time for it."""
    async with Rig("--clock-in-values", "--weight-limit", "1000000") as rig:
        symbols = await rig.start_exchange(LATENCY_MS)
        await sweeps.theirs(results, rig, CRYPTOFEED, symbols, 1, 60.0)


async def ours(results: Results) -> None:
    async with Rig(*STAND_IN, **NO_ALERTS) as rig:
        await rig.start_redis()
        await rig.start_exchange(LATENCY_MS)
        await rig.start_backend()
        for name in SERVICES:
            await rig.start_service(name, FUNDING_API_PORT="0")
        book = Book(rig)
        await book.follow(ALONE_S + SECONDS)
        for name in SERVICES:
            results.ours(f"memory_{name}", resident_mib(rig.pid(name)))
        await _tell(results, "ours", rig, book.interests)
        results.ours("mark_age", statistics.median(book.mark_ages_s))
        results.notes["batches judged for freshness"] = book.judged


class Book:
    """The batches as they reach the backend, and the ages written in their values."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._last = 0
        self.interests: list[Seen] = []
        self.mark_ages_s: list[float] = []
        self.judged = 0

    async def follow(self, seconds: float) -> None:
        until_ms = now_ms() + int(seconds * 1000)
        while now_ms() < until_ms:
            for batch in await batches(self._rig, self._last):
                self._last = batch.number
                await self._read(batch)
            await asyncio.sleep(0.1)

    async def _read(self, batch: Batch) -> None:
        rows: list[dict[str, Any]] = (await self._rig.get("backend", f"/control/rows?limit={batch.rows}"))["rows"]
        self.judged += 1
        for row in rows:
            made = made_ms(row["openInterest"], batch.answered_ms)
            self.interests.append(Seen(row["symbol"], batch.answered_ms, made))
            self.mark_ages_s.append((batch.received_ms - made_ms(row["markPrice"], batch.received_ms)) / 1000)


async def theirs(results: Results, peer: Peer) -> None:
    async with Rig(*STAND_IN) as rig:
        symbols = await rig.start_exchange(LATENCY_MS)
        with results.of(peer.name, *AGE_ROWS):
            seen = await peer.follow(rig.origin("exchange"), symbols, WARM_UP_S + SECONDS)
            await _tell(results, peer.name, rig, seen)


async def _tell(results: Results, who: str, rig: Rig, seen: list[Seen]) -> None:
    until_ms = now_ms()
    from_ms, until_ms = ages.whole_rounds(seen, until_ms - int(SECONDS * 1000), until_ms)
    found = ages.ages(seen, from_ms, until_ms)
    state = await rig.get("exchange", "/control")
    results.theirs("oi_age_median", who, found.median_s)
    results.theirs("oi_age_worst", who, found.worst_s)
    results.theirs("refused", who, state["weight"]["answered_429"] + state["weight"]["answered_418"])
    values = sum(from_ms < row.got_ms <= until_ms for row in seen)
    results.notes[f"{who}: values of open interest a minute"] = round(60_000 * values / (until_ms - from_ms))
    if found.symbols < SYMBOLS:
        results.notes[f"{who}: symbols ever got"] = found.symbols
