"""The connections and what they feed: slots that are kept filled, rotated with overlap, and one merged state.

Each slot waits after every ending (capped, jittered; only a mark frame resets it). A connection near the exchange's
24 h limit, told of a shutdown or without volumes, is replaced first and closed then, so that no second is missed even
with one slot.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import replace
from typing import NoReturn

from services.ws_daemon.coverage import Coverage
from services.ws_daemon.latest import Latest, Merged
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from services.ws_daemon.stream import Ending, Watch, follow
from shared.backoff import Backoff
from shared.clock import iso
from shared.logs import EventLog
from shared.service import Service
from shared.venues.binance import frames

log = EventLog("feed")
FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 30.0
JITTER = 0.02  # of the lifetime
VOLUMES_IDLE = 12  # times the idle time: volumes come each second too, but only of what was traded
LONGEST_VOLUMES_S = 3600.0  # between two replacements of a connection for the sake of volumes
FRAMES_KEPT = 4  # a second of one connection has three


class Feed:
    """``fresh`` is set whenever there is something Redis has not; ``last_stream_s`` (of marks) and
    ``last_volumes_s`` are monotonic.

    ``facts`` are told in the heartbeat, for readers that ask whether the stream is connected and since when.
    """

    def __init__(self, settings: Settings, service: Service, metrics: Metrics) -> None:
        self._settings = settings
        self.latest = Latest()
        self._metrics = metrics
        self._clock = service.clock
        self._delivering: set[Watch] = set()
        self._messages = 0
        self._frames: deque[tuple[bytes, Merged]] = deque(maxlen=FRAMES_KEPT)
        self._endings = 0
        self._facts = service.facts
        self._facts.update(connections="0", messagesReceived="0", reconnectAttempts="0")
        self.fresh = asyncio.Event()
        self.received_s = 0.0  # when the oldest frame not yet written came in
        self.last_stream_s = self.last_volumes_s = self._clock.monotonic_s()
        self.volumes_idle_s = VOLUMES_IDLE * settings.idle_s
        self.slots = [Slot(self, number, settings) for number in range(1, settings.connections + 1)]

    def delivering(self, watch: Watch, *, on: bool) -> int:
        """Keep count of the connections that deliver marks."""
        (self._delivering.add if on else self._delivering.discard)(watch)
        self._metrics.connected.set(len(self._delivering))
        self._facts["connections"] = str(len(self._delivering))
        if on:
            self._facts["lastConnected"] = iso(self._clock.now_ms())
        return len(self._delivering)

    @property
    def live_connections(self) -> int:
        return len(self._delivering)

    def take(self, source: str, frame: frames.Rows) -> Merged:
        """Merge rows from any source, count them, and wake the writer."""
        received_ms = self._clock.now_ms()
        merged = self.latest.merge(frame, received_ms)
        self._count(source, merged, received_ms)
        if merged.new:
            self._metrics.lag.set((received_ms - merged.newest_event_ms) / 1000)
            if not self.fresh.is_set():
                self.received_s = self._clock.monotonic_s()
                self.fresh.set()
        return merged

    def _count(self, source: str, merged: Merged, received_ms: int) -> None:
        for outcome, count in (
            ("new", merged.new),
            ("repeated", merged.repeated),
            ("out_of_order", merged.out_of_order),
            ("coin_m", merged.coin_m),
        ):
            if count:
                self._metrics.rows.labels(outcome).inc(count)
        for error in merged.bad:
            self._metrics.bad(source, error)
        if merged.volumes:
            self._metrics.last_volumes.labels(source).set(received_ms / 1000)
        if merged.marks:
            self._metrics.frames.labels(source).inc()
            self._metrics.last_frame.labels(source).set(received_ms / 1000)

    def take_stream(self, source: str, blob: bytes) -> Merged:
        self._messages += 1
        self._facts["messagesReceived"] = str(self._messages)
        before = next((merged for seen, merged in self._frames if seen == blob), None)
        merged = self._take_again(source, before) if before else self.take(source, frames.decode_frame(blob))
        self._frames.append((blob, merged))
        if merged.marks:
            self.last_stream_s = self._clock.monotonic_s()
        if merged.volumes:
            self.last_volumes_s = self._clock.monotonic_s()
        return merged

    def _take_again(self, source: str, before: Merged) -> Merged:
        """The other connection has brought the very same bytes: all of it is known, and none of it is read twice."""
        merged = replace(before, new=0, repeated=len(before.marks), out_of_order=0, bad=[])
        self._count(source, merged, self._clock.now_ms())
        return merged

    def ended(self, source: str, ending: Ending, wait_s: float) -> None:
        self._metrics.endings.labels(ending.why).inc()
        self._endings += 1
        self._facts["reconnectAttempts"] = str(self._endings)
        log.warning("connection ended", connection=source, cause=ending.detail, next_try_s=round(wait_s, 2))


class Slot:
    """Keeps one connection alive, for ever."""

    def __init__(self, feed: Feed, number: int, settings: Settings) -> None:
        self._feed = feed
        self._settings = settings
        self.source = f"stream-{number}"
        self.coverage = Coverage()
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
            if merged.marks:
                if not watch.proved.is_set():
                    log.info("marks flow", connection=self.source, rows=len(merged.marks))
                    self._feed.delivering(watch, on=True)
                self._backoff.reset()
            if merged.volumes:
                self._volumes_s = self._feed.volumes_idle_s
            return merged

        async def life() -> Ending:
            try:
                s = self._settings
                return await follow(s.ws_url, handle, self.coverage, watch, s.idle_s, s.proxy)
            finally:
                self._feed.delivering(watch, on=False)

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
