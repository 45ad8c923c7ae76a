"""Keeps the exchange's symbol list current: every five minutes, sooner when a symbol turned out not to trade.

Its own job, so that a slow exchangeInfo delays no sweep. An answer that fails or is absurd changes nothing.
"""

from __future__ import annotations

import asyncio
import difflib
import random
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from services.oi_poller.exchange import Fapi
from services.oi_poller.metrics import Metrics
from services.oi_poller.universe import KNOWN_TYPES, Universe
from services.oi_poller.weight import OutOfWeight
from shared.backoff import Backoff
from shared.ban import Ban
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.logs import EventLog, OncePer, first_names
from shared.service import Service

log = EventLog("listings")
NOT_KNOWN = "the symbol list stays as it was"
IN_NUMBERS = 20  # contracts of one type, worth a word
LEAST_S = 60.0  # between two looks, however often it is prompted


@dataclass
class Listings:
    """``tried`` is set when the first look is over, whatever came of it."""

    fapi: Fapi
    universe: Universe
    ban: Ban
    metrics: Metrics
    service: Service
    every_s: float
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._clock = self.service.clock
        self._prompt = asyncio.Event()
        self._daily = OncePer(self._clock, 86_400.0)
        self._retry = Backoff(2.0, 60.0)
        self._refused = Backoff(15.0, 300.0)

    def prompt(self) -> None:
        """Look again as soon as that is decent."""
        self._prompt.set()

    async def keep(self, ready: asyncio.Event) -> NoReturn:
        """``ready``: the members of the run before are known, against which a list may look absurd."""
        await ready.wait()
        while True:
            wait_s = await self._look()
            self.tried.set()
            least_s = min(wait_s, LEAST_S, self.every_s)
            await self._clock.sleep(least_s)
            await self._prompted_within(wait_s - least_s)

    async def _prompted_within(self, seconds: float) -> None:
        waits = {asyncio.create_task(self._prompt.wait()), asyncio.create_task(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        self._prompt.clear()

    async def _look(self) -> float:
        """One look; returns how long to wait before the next."""
        try:
            await self.ban.refresh()
            info = await self.fapi.exchange_info(partial(self.metrics.bad, "exchangeInfo"))
            absurd = self.universe.believe(info.listings)
            if absurd:
                raise WireError("absurd_listings", absurd)
        except (Transient, Refused, Rejected, WireError) as e:
            return self._failed(e)
        self.service.health.over(NOT_KNOWN)
        self._tell_kinds()
        self._retry.reset()
        self._refused.reset()
        return self.every_s * random.uniform(0.8, 1.0)

    def _tell_kinds(self) -> None:
        """Say once a day what the list and OI_CONTRACT_TYPES do not agree on."""
        kinds = self.universe.kinds
        for kind in sorted(kinds.absent):
            if self._daily.due(f"absent {kind}"):
                close = difflib.get_close_matches(kind, KNOWN_TYPES, 1)
                log.warning("no contract is of a type in OI_CONTRACT_TYPES", type=kind, meant=close[0] if close else "")
        if kinds.renamed and self._daily.due("renamed"):
            for kind, symbols in kinds.renamed.items():
                count, names = len(symbols), first_names(symbols)
                log.warning(
                    "members have a contract type of a new name: they stay", type=kind, count=count, symbols=names
                )
        numerous = {kind: count for kind, count in kinds.not_polled.items() if count >= IN_NUMBERS}
        if numerous and self._daily.due("not polled"):
            for kind, count in numerous.items():
                log.info("contracts trade that OI_CONTRACT_TYPES leaves out", type=kind, count=count)

    def _failed(self, error: Exception) -> float:
        if isinstance(error, OutOfWeight):
            return error.retry_after_s or 1.0
        if isinstance(error, RateLimited):  # a ban is the poller's to tell
            return self.ban.remaining_s() + self._retry.next_s()
        reason = error.reason if isinstance(error, WireError) else type(error).__name__.lower()
        self.metrics.listings_failures.labels(reason).inc()
        self.service.health.aside(NOT_KNOWN, cause=str(error))
        return (self._refused if isinstance(error, Refused) else self._retry).next_s()
