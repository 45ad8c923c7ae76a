"""What the stream cannot give: volumes of quiet symbols, and either while every stream is mute of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from shared.backoff import Backoff
from shared.ban import Ban
from shared.errors import Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.service import Service
from shared.store import UNIVERSE
from shared.venues.binance import bodies, frames
from shared.venues.binance.rest import PREMIUM_INDEX, TICKER_24H, Exchange

log = EventLog("rest")
RESEED_S = 300.0  # between two askings for all volumes while the stream brings none
ROOM_S = 30.0  # into a minute of the exchange there is surely room for 40 of weight, whatever oi_poller has sent
LATE_S = 52.0  # into a minute there is surely room for 10 once, until oi_poller has seen that somebody else sends
BAN_LOOK_S = 60.0  # between two looks during a ban, which sends nothing: streams deliver again long before its end
NO_VOLUMES = "the stream brings no 24 h volumes: asking ticker/24hr"
FAILURES = (Transient, Refused, Rejected, WireError)


@dataclass
class Rest:
    """Weights: ``ticker/24hr`` 40, at the start and while no volumes come; ``premiumIndex`` 10, while no marks come."""

    settings: Settings
    service: Service
    exchange: Exchange
    ban: Ban
    feed: Feed
    metrics: Metrics
    seeded_s: float | None = None  # when all volumes were last asked for, with success

    def __post_init__(self) -> None:
        self._clock, self._facts, self._health = self.service.clock, self.service.facts, self.service.health
        self._retry_volumes = Backoff(2.0, RESEED_S)
        self._retry_marks = Backoff(self.settings.fallback_s, 60.0)
        self._facts["source"] = "stream"

    async def keep_volumes(self) -> NoReturn:
        """All volumes once at the start, for who does not trade is never in the stream; again while it brings none."""
        while True:
            await self._clock.sleep(await self.look_at_volumes())

    async def stand_in(self) -> NoReturn:
        """While the streams have not delivered for the idle time, fetch marks; never during a ban."""
        while True:
            await self._clock.sleep(await self.look_at_marks())

    async def look_at_volumes(self) -> float:
        """Ask for them if they are due; returns how long to wait before the next look."""
        now_s = self._clock.monotonic_s()
        silent = now_s - self.feed.last_volumes_s > self.feed.volumes_idle_s
        self._volumes_from("ticker24h" if silent else "stream")
        if self.seeded_s is None or (silent and now_s - self.seeded_s >= RESEED_S):
            wait_s = await self._until_room_s(ROOM_S) or await self._fetch(
                TICKER_24H, bodies.ticker_24h, "ticker24h", self._retry_volumes
            )
            if wait_s:
                return wait_s
            self.seeded_s = now_s
            log.info("24 h volumes seeded", symbols=len(self.feed.latest.volumes))
        return self.feed.volumes_idle_s / 4

    async def look_at_marks(self) -> float:
        """Ask for them if the streams do not deliver; returns how long to wait before the next look."""
        if self.feed.streams_deliver():
            self._marks_from("stream")
            return self.settings.idle_s / 4
        begins = self._marks_from("premiumIndex")
        wait_s = await self._fetch(PREMIUM_INDEX, bodies.premium_index, "premiumIndex", self._retry_marks)
        if wait_s:
            return wait_s
        return max(self.settings.fallback_s, await self._until_room_s(LATE_S) if begins else 0.0)

    async def _until_room_s(self, room_s: float) -> float:
        """Until the minute's end, where more than ``room_s`` of it is over: oi_poller may use up the rest.

        Without a universe it has nothing to ask for yet, and waits for volumes.
        """
        into_s = self._clock.now_ms() % 60_000 / 1000
        if into_s < room_s:
            return 0.0
        try:
            return 60.0 - into_s if await UNIVERSE.symbols(self.service.redis) else 0.0
        except Transient:
            return 0.0  # the ban cannot be read either: nothing will be sent

    def _volumes_from(self, source: str) -> None:
        self._facts["volumes"] = source
        if source == "stream":
            self._health.over(NO_VOLUMES)
        else:
            self._health.aside(NO_VOLUMES, every_s=RESEED_S)

    def _marks_from(self, source: str) -> bool:
        """Say where they come from; returns whether they came from elsewhere before."""
        if self._facts["source"] == source:
            return False
        self._facts["source"] = source
        self.metrics.fallback.set(source != "stream")
        if source == "stream":
            log.info("the streams deliver again: premiumIndex is no longer asked")
        else:
            log.info("no stream delivers most marks: asking premiumIndex", every_s=self.settings.fallback_s)
        return True

    async def _fetch(self, path: str, decode: Callable[[bytes], frames.Rows], source: str, retry: Backoff) -> float:
        """Ask once, and merge what comes: 0 s, or how long to wait where it failed."""
        try:
            await self.ban.refresh()
            rows = decode(await self.exchange.get(path))
        except FAILURES as e:
            self._health.aside(f"{path} gave nothing", cause=str(e))
            return max(retry.next_s(), min(self.ban.remaining_s(), BAN_LOOK_S))
        self._health.over(f"{path} gave nothing")
        retry.reset()
        self.feed.take(source, rows)
        return 0.0
