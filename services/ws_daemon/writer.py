"""Marks and volumes -> Redis: one pipelined write a frame; what Redis missed is written whole when it is back.

While Redis is away (or wedged, read-only, full) marks go on being merged, so memory holds one value a symbol, and the
service says what it waits for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NoReturn

from services.ws_daemon.feed import Feed
from services.ws_daemon.latest import Changes
from services.ws_daemon.metrics import Metrics
from shared.backoff import Backoff
from shared.errors import Transient
from shared.logs import EventLog, first_names
from shared.service import Service
from shared.store import MARK_TEXTS, VOLUMES, redis_faults

log = EventLog("writer")
LOST = "Redis lost what it held: writing everything again"


@dataclass
class Writer:
    service: Service
    feed: Feed
    metrics: Metrics
    backoff: Backoff = field(default_factory=lambda: Backoff(0.1, 2.0))

    async def keep_writing(self) -> NoReturn:
        """Recall what Redis holds, then write every frame as it comes, for ever."""
        recalled = False
        while True:
            try:
                if not recalled:
                    await self._recall()
                    recalled = True
                await self._next_frame()
                self._forget_gone()
                if self.service.standby:
                    self._told(self.service.standby)
                else:
                    await self._write_frame()
            except Transient as e:
                await self._wait_for_redis(e)

    async def _next_frame(self) -> None:
        """Wait for marks, from wherever they come, and say so while none do: only then is silence here a hang."""
        while True:
            try:
                async with asyncio.timeout(self.service.health.limit_s):
                    await self.feed.fresh.wait()
            except TimeoutError:
                self.service.health.bad("no marks come", "neither by stream nor from premiumIndex")
            else:
                self.feed.fresh.clear()
                return

    async def _recall(self) -> None:
        marks = await MARK_TEXTS.all(self.service.redis, self.metrics.bad_in_redis)
        self.feed.latest.recall(marks, await VOLUMES.all(self.service.redis, self.metrics.bad_in_redis))

    def _forget_gone(self) -> None:
        gone = self.feed.latest.forget_gone(self.service.clock.now_ms())
        if gone:
            log.info("symbols left the stream", count=len(gone), symbols=first_names(gone))
            for coverage in self.feed.coverages:
                coverage.forget(gone)

    async def _write_frame(self) -> None:
        changes = self.feed.latest.take_changes()
        received_s = self.feed.received_s
        try:
            whole = await self._write(changes)
        except Transient:
            self.feed.latest.all_changed(changes.gone)
            raise
        if whole:
            self.service.health.over(LOST)
        else:
            self.service.health.aside(LOST, marks=len(self.feed.latest.marks))
            self.feed.latest.all_changed(set())
            await self._write(self.feed.latest.take_changes())
        self._written(received_s)

    def _written(self, received_s: float) -> None:
        self.metrics.write.observe(self.service.clock.monotonic_s() - received_s)
        self.metrics.marks.set(len(self.feed.latest.marks))
        self.backoff.reset()
        live = self.feed.live_connections
        self._told(f"{len(self.feed.latest.marks)} marks from {live} connection{'s' if live > 1 else ''}")

    def _told(self, well: str) -> None:
        """Nothing of the last frame of a connection that just ended: the next, or premiumIndex, has the word."""
        if self.feed.live_connections and self.feed.streams_deliver():
            self.service.health.good(well)
        elif self.service.facts.get("source") == "premiumIndex":
            self.service.health.bad("no stream delivers", f"{len(self.feed.latest.marks)} marks from premiumIndex")

    async def _write(self, changes: Changes) -> bool:
        """One round trip. False when Redis holds fewer symbols than it was given: it came back empty.

        Counted as the changes were taken: their number grows while the write is under way.
        """
        async with redis_faults(), self.service.redis.pipeline(transaction=False) as pipe:
            MARK_TEXTS.put(pipe, changes.marks, self.metrics.bad_in_redis)
            VOLUMES.put(pipe, changes.volumes, self.metrics.bad_in_redis)
            MARK_TEXTS.drop(pipe, changes.gone)
            VOLUMES.drop(pipe, changes.gone)
            pipe.hlen(MARK_TEXTS.key)
            pipe.hlen(VOLUMES.key)
            *_, marks, volumes = await pipe.execute()
        return bool(marks >= changes.marks_held and volumes >= changes.volumes_held)

    async def _wait_for_redis(self, error: Transient) -> None:
        self.metrics.write_failures.inc()
        self.service.health.bad("waiting for Redis to take marks; the latest are kept in memory", error)
        self.feed.fresh.set()  # there is something unwritten, whether or not another frame comes
        await self.service.clock.sleep(self.backoff.next_s())
