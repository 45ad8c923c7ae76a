"""What the stream cannot give: volumes of quiet symbols, and either while every stream is mute of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from shared.backoff import Backoff
from shared.ban import Ban
from shared.errors import Refused, Rejected, Transient, WireError
from shared.logs import EventLog
from shared.service import Service
from shared.venues.binance import bodies, frames
from shared.venues.binance.rest import PREMIUM_INDEX, TICKER_24H, Exchange

log = EventLog("rest")
RESEED_S = 300.0  # between two askings for all volumes while the stream brings none
NO_VOLUMES = "the stream brings no 24 h volumes: asking ticker/24hr"
FAILURES = (Transient, Refused, Rejected, WireError)


class Rest:
    """Weights: ``ticker/24hr`` 40, at the start and while no volumes come; ``premiumIndex`` 10, while no marks come."""

    def __init__(
        self, settings: Settings, service: Service, exchange: Exchange, ban: Ban, feed: Feed, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._ban = ban
        self._feed = feed
        self._metrics = metrics
        self._health = service.health
        self._facts = service.facts
        self._seeded_s: float | None = None  # when all volumes were last asked for, with success
        self._seeding = Backoff(2.0, RESEED_S)
        self._clock = service.clock

    async def keep_volumes(self) -> NoReturn:
        """All volumes once at the start, for who does not trade is never in the stream; again while it brings none."""
        while True:
            await self._clock.sleep(await self.look_at_volumes())

    async def look_at_volumes(self) -> float:
        """Ask for them if they are due; returns how long to wait before the next look."""
        now_s = self._clock.monotonic_s()
        silent = now_s - self._feed.last_volumes_s > self._feed.volumes_idle_s
        self._volumes_from("ticker24h" if silent else "stream")
        if self._seeded_s is not None and not (silent and now_s - self._seeded_s >= RESEED_S):
            return self._feed.volumes_idle_s / 4
        rows = await self._ask(TICKER_24H, bodies.ticker_24h)
        if rows is None:
            return max(self._seeding.next_s(), self._ban.remaining_s())
        self._seeding.reset()
        self._seeded_s = now_s
        self._feed.take("ticker24h", rows)
        log.info("24 h volumes seeded", symbols=len(rows.rows))
        return self._feed.volumes_idle_s / 4

    def _volumes_from(self, source: str) -> None:
        self._facts["volumes"] = source
        if source == "stream":
            self._health.over(NO_VOLUMES)
        else:
            self._health.aside(NO_VOLUMES, every_s=RESEED_S)

    async def stand_in(self) -> NoReturn:
        """While no stream has delivered for the idle time, fetch marks; never during a ban."""
        backoff = Backoff(self._settings.fallback_s, 60.0)
        self._facts["source"] = "stream"
        while True:
            silent_s = self._clock.monotonic_s() - self._feed.last_stream_s
            if silent_s <= self._settings.idle_s:
                self._marks_from("stream")
                await self._clock.sleep(self._settings.idle_s / 4)
                continue
            self._marks_from("premiumIndex")
            rows = await self._ask(PREMIUM_INDEX, bodies.premium_index)
            if rows is None:
                await self._clock.sleep(max(backoff.next_s(), self._ban.remaining_s()))
                continue
            backoff.reset()
            self._feed.take("premiumIndex", rows)
            await self._clock.sleep(self._settings.fallback_s)

    def _marks_from(self, source: str) -> None:
        if self._facts["source"] == source:
            return
        self._facts["source"] = source
        self._metrics.fallback.set(source != "stream")
        if source == "stream":
            log.info("a stream delivers again: premiumIndex is no longer asked")
        else:
            log.info("no stream delivers marks: asking premiumIndex", every_s=self._settings.fallback_s)

    async def _ask(self, path: str, decode: Callable[[bytes], frames.Rows]) -> frames.Rows | None:
        """One request; None when it failed."""
        try:
            await self._ban.refresh()
            body = decode(await self._exchange.get(path))
        except FAILURES as e:
            self._health.aside(f"{path} gave nothing", cause=str(e))
            return None
        self._health.over(f"{path} gave nothing")
        return body
