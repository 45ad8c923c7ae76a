"""What all sources feed: one merged state, counted, and the writer woken when there is something new."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from services.ws_daemon.coverage import Coverage
from services.ws_daemon.latest import Latest, Merged
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from services.ws_daemon.stream import Ending, Watch
from shared.clock import iso
from shared.logs import EventLog
from shared.service import Service
from shared.venues.binance import frames

log = EventLog("feed")
VOLUMES_IDLE = 12  # times the idle time: volumes come each second too, but only of what was traded
FRAMES_KEPT = 4  # a second of one connection has three
AGAIN_S = 2.0  # within so long the other connection brings the same frame


class Feed:
    """``fresh`` is set whenever there is something Redis has not; ``last_volumes_s`` (of the streams) is monotonic.
    ``coverages``: what is normal, for each connection that is kept.
    """

    def __init__(self, settings: Settings, service: Service, metrics: Metrics) -> None:
        self.latest = Latest()
        self._metrics = metrics
        self._clock = service.clock
        self._delivering: set[Watch] = set()
        self._messages = 0
        self._frames: deque[tuple[bytes, float, Merged]] = deque(maxlen=FRAMES_KEPT)  # when each came first
        self._endings = 0
        self._facts = service.facts
        self._facts.update(connections="0", messagesReceived="0", reconnectAttempts="0")
        self.fresh = asyncio.Event()
        self.received_s = 0.0  # when the oldest frame not yet written came in
        self.last_volumes_s = self._began_s = self._clock.monotonic_s()
        self._idle_s = settings.idle_s
        self._by_stream: dict[str, float] = {}  # symbol -> when a stream last brought its mark, of late
        self.volumes_idle_s = VOLUMES_IDLE * settings.idle_s
        self.coverages = [Coverage() for _ in range(settings.connections)]

    def delivering(self, watch: Watch, *, on: bool) -> None:
        """Keep count of the connections that deliver marks."""
        (self._delivering.add if on else self._delivering.discard)(watch)
        self._metrics.connected.set(len(self._delivering))
        self._facts["connections"] = str(len(self._delivering))
        if on:
            self._facts["lastConnected"] = iso(self._clock.now_ms())

    @property
    def live_connections(self) -> int:
        return len(self._delivering)

    def streams_deliver(self) -> bool:
        """Whether they brought most of the known marks within the idle time; at the start it is waited for."""
        since_s = self._clock.monotonic_s() - self._idle_s
        self._by_stream = {symbol: at_s for symbol, at_s in self._by_stream.items() if at_s >= since_s}
        return 2 * len(self._by_stream) > len(self.latest.marks) or self._began_s >= since_s

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
        for outcome in ("new", "repeated", "out_of_order", "coin_m"):
            count = getattr(merged, outcome)
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
        now_s = self._clock.monotonic_s()
        before = next((merged for seen, at_s, merged in self._frames if seen == blob and now_s - at_s < AGAIN_S), None)
        if before:
            merged = self._take_again(source, before)
        else:
            merged = self.take(source, frames.decode_frame(blob))
            self._frames.append((blob, now_s, merged))
        self._by_stream |= dict.fromkeys(merged.marks, now_s)
        if merged.volumes:
            self.last_volumes_s = now_s
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
