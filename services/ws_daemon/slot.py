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
        watch = Watch(self._volumes_s)
        current = self._open(watch)
        try:
            while True:
                if await self._due(current, watch):
                    current, watch = await self._replace(current, watch)
                    continue
                wait_s = self._backoff.next_s()
                self._feed.ended(self.source, current.result(), wait_s)
                await asyncio.sleep(wait_s)
                watch = Watch(self._volumes_s)
                current = self._open(watch)
        finally:
            await _cancel(current)

    def _open(self, watch: Watch) -> asyncio.Task[Ending]:
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

        return asyncio.create_task(life(), name=self.source)

    async def _due(self, current: asyncio.Task[Ending], watch: Watch) -> bool:
        """Wait for the connection to end (False), or for the time to replace it (True)."""
        told = asyncio.create_task(watch.outlived.wait())
        life_s, self._life_s = self._life_s, self._settings.lifetime_s
        try:
            await asyncio.wait(
                {current, told},
                timeout=life_s * (1 - JITTER * random.random()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            told.cancel()
        return not current.done()

    async def _replace(self, old: asyncio.Task[Ending], old_watch: Watch) -> tuple[asyncio.Task[Ending], Watch]:
        """Open the next connection beside the old one; let go of the old one when the next has delivered."""
        self._volumes_s = min(2 * self._volumes_s, LONGEST_VOLUMES_S)  # until volumes come again
        watch = Watch(self._volumes_s)
        successor = self._open(watch)
        proof = asyncio.create_task(watch.proved.wait())
        try:
            await asyncio.wait({successor, proof}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancel(successor)
            raise
        finally:
            proof.cancel()
        if successor.done():  # it did not deliver: the old one serves on, and we try again
            wait_s = self._backoff.next_s()
            self._feed.ended(self.source, successor.result(), wait_s)
            self._life_s = wait_s
            old_watch.outlived.clear()
            return old, old_watch
        log.info("connection replaced", connection=self.source, cause=old_watch.why or "its time was up")
        await _cancel(old)
        return successor, watch


async def _cancel(task: asyncio.Task[Ending]) -> None:
    task.cancel()
    await asyncio.wait({task})
