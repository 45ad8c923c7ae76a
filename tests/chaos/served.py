"""What the backend was sent and what it serves, sampled from beginning to end: wrong values, ages, losses."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from dataclasses import replace
from typing import Any, NoReturn

import httpx

from tests.chaos.oracle import RELATIVE, Bounds, Row, judge, row_of
from tests.chaos.rig import Rig
from tests.chaos.watch import now_ms

EVERY_S = 0.4
ROWS_KEPT = 40  # per symbol: more than a burst of late batches brings between two questions
SHOWN = 200  # wrong values that are kept with their text


class Served:
    """``wrong`` holds a text for every wrong value, ``worst_ms`` the greatest age of a served value."""

    def __init__(self, rig: Rig, bounds: Bounds) -> None:
        self._rig = rig
        self._bounds = bounds
        self._last_batch = 0
        self._open: set[int] = set()  # batches seen that were still being written
        self._rows: dict[str, deque[Row]] = {}
        self.whole: dict[str, int] = {}
        self.skews_ms = frozenset({0})
        self.expected: set[str] = set()  # the symbols whose ages count
        self.wrong: deque[str] = deque(maxlen=SHOWN)
        self.wrong_count = 0
        self.judged = 0
        self.judging = True
        self.worst_ms = 0

    async def follow(self) -> NoReturn:
        while True:
            with contextlib.suppress(httpx.HTTPError, ValueError):  # the backend may be the one that is away
                await self.sample()
            await asyncio.sleep(EVERY_S)

    def forget(self) -> None:
        self.wrong.clear()
        self.wrong_count = self.judged = self.worst_ms = 0

    async def sample(self) -> None:
        asked_ms = now_ms()
        # An address of its own: a cache before the backend has it not.
        data = (await self._rig.get("backend", f"/api/market/open-interest?at={asked_ms}"))["data"]
        await self._take_rows()
        if not self.judging:
            return
        odd = {s: usd for s, usd in data.items() if self._match(s, usd, asked_ms) is None}
        if odd:  # a batch may have been on its way between the two questions
            await asyncio.sleep(0.1)
            await self._take_rows()
        for symbol, usd in data.items():
            row = self._match(symbol, usd, asked_ms)
            if row is None:
                self._count(f"{symbol}: {usd} is served and is not what was last posted")
            elif symbol in self.expected:
                self.worst_ms = max(self.worst_ms, asked_ms - row.made_ms)

    def _match(self, symbol: str, usd: float, asked_ms: int) -> Row | None:
        """The posted row that is served: the last one before we asked, or one that came in while we did."""
        for row in reversed(self._rows.get(symbol, ())):
            if math.isclose(row.usd, usd, rel_tol=RELATIVE):
                return row
            if row.stored_ms < asked_ms - 50:
                return None
        return None

    async def _take_rows(self) -> None:
        since = min(self._open, default=self._last_batch + 1) - 1
        listed = await self._rig.get("backend", f"/control/batches?since={since}")
        if listed["last"] < self._last_batch:  # a new process, which remembers nothing
            self._last_batch, self._rows = 0, {}
            self._open.clear()
            return
        batches = {b["id"]: b for b in listed["batches"]}
        new = {i for i in batches if i in self._open or i > self._last_batch}
        if not new:
            return
        limit = sum(batch["stored"] or 0 for batch in batches.values()) + 1000
        rows = (await self._rig.get("backend", f"/control/rows?limit={limit}"))["rows"]
        done = {i for i in new if batches[i]["answeredAt"] is not None}
        for raw in rows:
            if raw["batch"] in done:
                self._take(raw, batches[raw["batch"]]["answeredAt"])
        self._open = {i for i in new - done if now_ms() - batches[i]["receivedAt"] < 60_000}
        self._last_batch = max(self._last_batch, *batches)

    def _take(self, raw: dict[str, Any], served_ms: int) -> None:
        """``served_ms``: when its batch was answered; until then what it replaces is served, however long that took."""
        self.judged += 1
        why = judge(raw, self.whole, self._bounds, self.skews_ms)
        if why:
            self._count(why)
        if raw["openInterest"] and raw["markPrice"]:
            row = replace(row_of(raw, self.skews_ms), stored_ms=served_ms)
            self._rows.setdefault(raw["symbol"], deque(maxlen=ROWS_KEPT)).append(row)

    def _count(self, why: str) -> None:
        self.wrong_count += 1
        self.wrong.append(why)

    def served_since(self, since_ms: int) -> set[str]:
        """Symbols with a row whose numbers were both made after that instant, stored."""
        return {symbol for symbol, rows in self._rows.items() if rows and rows[-1].made_ms > since_ms}
