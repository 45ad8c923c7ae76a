"""One venue's loop: ask, judge, write; then wait for its pace. A venue's trouble is its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import NoReturn

import msgspec

from services.venue_poller.guest import Guest
from services.venue_poller.lines import Lines
from services.venue_poller.matching import Binance
from services.venue_poller.metrics import Metrics
from services.venue_poller.sanity import Judge, Judged
from services.venue_poller.venue import Decoded
from shared.backoff import Backoff
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.service import Service
from shared.together import Together
from shared.venuelines import Refusal, VenueLine

BACKOFF_S, BACKOFF_CAP_S = 5.0, 60.0
NO_MARK = "there is no fresh mark of Binance to prove prices by"


class VenuePoller:
    """``told`` is called after each round with the venue and what is wrong with it; empty: nothing is."""

    def __init__(
        self,
        guest: Guest,
        binance: Together[Binance],
        lines: Lines,
        service: Service,
        metrics: Metrics,
        told: Callable[[str, str], None],
    ) -> None:
        self._name = guest.venue.name
        self._guest = guest
        self._binance = binance
        self._lines = lines
        self._clock = service.clock
        self._metrics = metrics
        self._told = told
        self._judge: Judge | None = None
        self._backoff = Backoff(BACKOFF_S, BACKOFF_CAP_S)
        metrics.refusals(self._name, ())
        metrics.last_round.labels(self._name).set(self._clock.now_ms() / 1000)  # silence counts from the start

    async def run(self) -> NoReturn:
        while True:
            begun_s = self._clock.monotonic_s()
            trouble = await self.round()
            self._told(self._name, trouble)
            if trouble:  # told again at least once a minute, also in a long ban: a service that says nothing looks hung
                wait_s = min(max(self._backoff.next_s(), self._guest.ban.remaining_s()), BACKOFF_CAP_S)
            else:
                wait_s = self._guest.venue.pace_s - (self._clock.monotonic_s() - begun_s)
                self._backoff.reset()
            await self._clock.sleep(max(wait_s, 0.5))

    async def round(self) -> str:
        """One round; what is wrong with the venue, empty when nothing is."""
        begun_s = self._clock.monotonic_s()
        self._metrics.ban_until.labels(self._name).set(self._guest.ban.until_ms / 1000)
        try:
            if self._judge is None:
                await self._lines.recall(self._clock.now_ms())
                self._judge = Judge(self._lines.held(), self._lines.line.refused)
            await self._believe(self._judge, await self._guest.ask())
        except (Transient, WireError, Refused, Rejected) as e:
            return await self._failed(e)
        self._metrics.rounds.labels(self._name, "good").inc()
        self._metrics.duration.labels(self._name).observe(self._clock.monotonic_s() - begun_s)
        return self._lines.line.trouble

    async def _believe(self, judge: Judge, decoded: Decoded) -> None:
        now_ms = self._clock.now_ms()
        binance = await self._binance.latest()
        if not binance.fresh:
            raise Transient(NO_MARK)
        judged = judge.judge(decoded.rows, binance, now_ms)
        for error in decoded.bad:
            self._metrics.bad(self._name, error)
        for row in judged.anew:
            self._lines.past.forget(row)
        line = VenueLine(
            at=now_ms if judged.good else self._lines.line.at,
            asked=now_ms,
            rows=len(judged.good),
            coins=len({row.coin for row in judged.good}),
            refused=judged.refused,
            aside={**decoded.aside, "unmatched": judged.unmatched, "unreadable": len(decoded.bad)},
            trouble="" if judged.good else _whole(judged.refused.values()),
        )
        gone = judge.gone(now_ms)
        await self._lines.write(line, now_ms, judged.good, gone)
        judge.forget(gone)
        self._count(judged, decoded.bad)

    def _count(self, judged: Judged, bad: list[WireError]) -> None:
        metrics = self._metrics
        metrics.refusals(self._name, [one.why for one in judged.refused.values()] + [e.reason for e in bad])
        metrics.contracts.labels(self._name, "believed").set(len(judged.good))
        metrics.contracts.labels(self._name, "refused").set(len(judged.refused) + len(bad))
        metrics.contracts.labels(self._name, "unmatched").set(judged.unmatched)
        if judged.good:
            metrics.last_round.labels(self._name).set(self._clock.now_ms() / 1000)

    async def _failed(self, error: Exception) -> str:
        self._metrics.rounds.labels(self._name, _outcome(error)).inc()
        said, ban = " ".join(str(error).split())[:160], self._guest.ban
        until_ms, now_ms = ban.until_ms if ban.remaining_s() else 0, self._clock.now_ms()
        line = msgspec.structs.replace(self._lines.line, trouble=said, asked=now_ms, until=until_ms)
        if self._judge:  # else the line of before is not known yet
            with contextlib.suppress(Transient):
                await self._lines.write(line, now_ms, [], [])
        return said


def _whole(refused: Iterable[Refusal]) -> str:
    """Why nothing of an answer is believed, in the words of the first; or that it held nothing."""
    first = next(iter(refused), None)
    return f"{first.why}: {first.detail}" if first else "its answer holds no contract of a coin that Binance polls"


def _outcome(error: Exception) -> str:
    """One word of few, for a metric."""
    if isinstance(error, WireError):
        return error.reason
    kinds = {RateLimited: "limited", Transient: "away", Refused: "refused", Rejected: "rejected"}
    return next(word for kind, word in kinds.items() if isinstance(error, kind))
