"""The connections: each slot is kept filled, and its connection replaced with overlap before it ends.

A slot waits after every ending, capped and jittered. Only a connection that delivered marks and lasted for the idle
time resets that: one frame, or the connection that is to be replaced, says nothing of the next, and the exchange bans
who opens too many. A connection near the exchange's 24 h limit, told of a shutdown or without volumes, is replaced
first and closed then, so that no second is missed even with one slot.
"""

from __future__ import annotations

import asyncio
import random
from typing import NoReturn

from services.ws_daemon.feed import Feed
from services.ws_daemon.latest import Merged
from services.ws_daemon.settings import Settings
from services.ws_daemon.stream import Ending, Watch, follow
from shared.backoff import Backoff
from shared.logs import EventLog

log = EventLog("slot")
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0
JITTER = 0.02  # of the lifetime
LONGEST_VOLUMES_S = 3600.0  # between two replacements of a connection for the sake of volumes


class Slot:
    """Keeps one connection alive, for ever; ``number`` counts from 1."""

    def __init__(self, feed: Feed, number: int, settings: Settings) -> None:
        self._feed = feed
        self._settings = settings
        self.source = f"stream-{number}"
        self._coverage = feed.coverages[number - 1]
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        # The slots' first lives differ, so that they never come to their end together.
        self._life_s = settings.lifetime_s * number / settings.connections
        self._volumes_s = feed.volumes_idle_s

    async def keep(self) -> NoReturn:
        current = self._open()
        try:
            while True:
                life_s, self._life_s = self._life_s, self._settings.lifetime_s
                if await _until(current.outlived, current, life_s * (1 - JITTER * random.random())):
                    current = await self._replace(current)
                else:
                    await asyncio.sleep(self._ended(current))
                    current = self._open()
        finally:
            await _cancel(current)

    def _open(self) -> Watch:
        watch = Watch(self._volumes_s)

        def handle(blob: bytes) -> Merged:
            merged = self._feed.take_stream(self.source, blob)
            if merged.marks and not watch.proved.is_set():
                log.info("marks flow", connection=self.source, rows=len(merged.marks))
                self._feed.delivering(watch, on=True)
            if merged.volumes:
                self._volumes_s = self._feed.volumes_idle_s
            return merged

        async def life() -> Ending:
            s, loop = self._settings, asyncio.get_running_loop()
            began_s = loop.time()
            try:
                return await follow(s.ws_url, handle, self._coverage, watch, s.idle_s, s.proxy)
            finally:
                self._feed.delivering(watch, on=False)
                if watch.proved.is_set() and loop.time() - began_s >= s.idle_s:
                    self._backoff.reset()

        watch.connection = asyncio.create_task(life(), name=self.source)
        return watch

    def _ended(self, watch: Watch) -> float:
        """Tell why; returns how long to wait before the next is opened, in seconds."""
        wait_s = self._backoff.next_s()
        self._feed.ended(self.source, watch.connection.result(), wait_s)
        return wait_s

    async def _replace(self, old: Watch) -> Watch:
        """Open the next connection beside the old one; let go of the old one when the next has delivered."""
        self._volumes_s = min(2 * self._volumes_s, LONGEST_VOLUMES_S)  # until volumes come again
        successor = self._open()
        try:
            proved = await _until(successor.proved, successor)
        except asyncio.CancelledError:
            await _cancel(successor)
            raise
        if not proved:  # the old one serves on, and we try again
            self._life_s = self._ended(successor)
            old.outlived.clear()
            return old
        log.info("connection replaced", connection=self.source, cause=old.why or "its time was up")
        await _cancel(old)
        return successor


async def _until(event: asyncio.Event, watch: Watch, timeout_s: float | None = None) -> bool:
    """Wait for the event, or for so long; False where the connection ended before."""
    told = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({watch.connection, told}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    return not watch.connection.done()


async def _cancel(watch: Watch) -> None:
    watch.connection.cancel()
    await asyncio.wait({watch.connection})
