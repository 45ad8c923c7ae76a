"""What the stream cannot give: volumes of quiet symbols at the start, and marks while every stream is mute."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from services.ws_daemon import wire
from services.ws_daemon.feed import Feed
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from shared.backoff import Backoff
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import Banned, Refused, Rejected, Transient, WireError
from shared.exchange import Exchange
from shared.logs import EventLog, OncePer

log = EventLog("rest")
FAILURES = (Transient, Refused, Rejected, WireError)


class Rest:
    """Weights: ``ticker/24hr`` 40, once a start; ``premiumIndex`` 10, only while no stream delivers."""

    def __init__(self, settings: Settings, exchange: Exchange, ban: Ban, feed: Feed, clock: Clock) -> None:
        self._settings = settings
        self._exchange = exchange
        self._ban = ban
        self._feed = feed
        self._clock = clock
        self._once = OncePer(clock, 60.0)

    async def seed_volumes(self) -> None:
        """A symbol that does not trade never appears in the mini-ticker stream; ask for all of them once."""
        backoff = Backoff(2.0, 300.0)
        while True:
            rows = await self._ask("/fapi/v1/ticker/24hr", wire.ticker_24h)
            if rows is not None:
                self._feed.take("ticker24h", rows)
                log.info("24 h volumes seeded", symbols=len(rows.rows))
                return
            await self._clock.sleep(max(backoff.next_s(), self._ban.remaining_s()))

    async def stand_in(self, metrics: Metrics, facts: dict[str, str]) -> NoReturn:
        """While no stream has delivered for the idle time, fetch marks; never during a ban."""
        backoff = Backoff(self._settings.fallback_s, 60.0)
        facts["source"] = "stream"
        while True:
            silent_s = self._clock.monotonic_s() - self._feed.last_stream_s
            if silent_s <= self._settings.idle_s:
                self._turn(metrics, facts, "stream")
                await self._clock.sleep(self._settings.idle_s / 4)
                continue
            self._turn(metrics, facts, "premiumIndex")
            rows = await self._ask("/fapi/v1/premiumIndex", wire.premium_index)
            if rows is None:
                await self._clock.sleep(max(backoff.next_s(), self._ban.remaining_s()))
                continue
            backoff.reset()
            self._feed.take("premiumIndex", rows)
            await self._clock.sleep(self._settings.fallback_s)

    def _turn(self, metrics: Metrics, facts: dict[str, str], source: str) -> None:
        if facts["source"] == source:
            return
        facts["source"] = source
        metrics.fallback.set(source != "stream")
        if source == "stream":
            log.info("a stream delivers again: premiumIndex is no longer asked")
        else:
            log.warning("no stream delivers marks: asking premiumIndex", every_s=self._settings.fallback_s)

    async def _ask(self, path: str, decode: Callable[[bytes], wire.Rows]) -> wire.Rows | None:
        """One request; None when it failed, which is said at most once a minute and cause."""
        try:
            await self._ban.refresh()
            return decode(await self._exchange.get(path))
        except FAILURES as e:
            kind = "banned" if isinstance(e, Banned) else type(e).__name__
            if self._once.due(f"{path} {kind}") is not None:
                log.warning("request failed", path=path, cause=str(e))
            return None
