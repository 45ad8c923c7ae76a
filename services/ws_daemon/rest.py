"""What the stream cannot give: volumes of quiet symbols, and either while every stream is mute of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    seeding: Backoff = field(default_factory=lambda: Backoff(2.0, RESEED_S))

    async def keep_volumes(self) -> NoReturn:
        """All volumes once at the start, for who does not trade is never in the stream; again while it brings none."""
        while True:
            await self.service.clock.sleep(await self.look_at_volumes())

    async def look_at_volumes(self) -> float:
        """Ask for them if they are due; returns how long to wait before the next look."""
        now_s = self.service.clock.monotonic_s()
        silent = now_s - self.feed.last_volumes_s > self.feed.volumes_idle_s
        self._volumes_from("ticker24h" if silent else "stream")
        if self.seeded_s is not None and not (silent and now_s - self.seeded_s >= RESEED_S):
            return self.feed.volumes_idle_s / 4
        wait_s = await self._until_room_s()
        if wait_s:
            return wait_s
        rows = await self._ask(TICKER_24H, bodies.ticker_24h)
        if rows is None:
            return max(self.seeding.next_s(), self.ban.remaining_s())
        self.seeding.reset()
        self.seeded_s = now_s
        self.feed.take("ticker24h", rows)
        log.info("24 h volumes seeded", symbols=len(rows.rows))
        return self.feed.volumes_idle_s / 4

    async def _until_room_s(self) -> float:
        """Until there is room for the one weighty request: oi_poller may use up a minute towards its end.

        Without a universe it has nothing to ask for yet, and waits for these volumes.
        """
        into_s = self.service.clock.now_ms() % 60_000 / 1000
        if into_s < ROOM_S:
            return 0.0
        try:
            return 60.0 - into_s if await UNIVERSE.symbols(self.service.redis) else 0.0
        except Transient:
            return 0.0  # the ban cannot be read either: nothing will be sent

    def _volumes_from(self, source: str) -> None:
        self.service.facts["volumes"] = source
        if source == "stream":
            self.service.health.over(NO_VOLUMES)
        else:
            self.service.health.aside(NO_VOLUMES, every_s=RESEED_S)

    async def stand_in(self) -> NoReturn:
        """While no stream has delivered for the idle time, fetch marks; never during a ban."""
        backoff = Backoff(self.settings.fallback_s, 60.0)
        self.service.facts["source"] = "stream"
        while True:
            silent_s = self.service.clock.monotonic_s() - self.feed.last_stream_s
            if silent_s <= self.settings.idle_s:
                self._marks_from("stream")
                await self.service.clock.sleep(self.settings.idle_s / 4)
                continue
            self._marks_from("premiumIndex")
            rows = await self._ask(PREMIUM_INDEX, bodies.premium_index)
            if rows is None:
                await self.service.clock.sleep(max(backoff.next_s(), self.ban.remaining_s()))
                continue
            backoff.reset()
            self.feed.take("premiumIndex", rows)
            await self.service.clock.sleep(self.settings.fallback_s)

    def _marks_from(self, source: str) -> None:
        if self.service.facts["source"] == source:
            return
        self.service.facts["source"] = source
        self.metrics.fallback.set(source != "stream")
        if source == "stream":
            log.info("a stream delivers again: premiumIndex is no longer asked")
        else:
            log.info("no stream delivers marks: asking premiumIndex", every_s=self.settings.fallback_s)

    async def _ask(self, path: str, decode: Callable[[bytes], frames.Rows]) -> frames.Rows | None:
        """One request; None when it failed."""
        try:
            await self.ban.refresh()
            body = decode(await self.exchange.get(path))
        except FAILURES as e:
            self.service.health.aside(f"{path} gave nothing", cause=str(e))
            return None
        self.service.health.over(f"{path} gave nothing")
        return body
