"""One venue's loop: ask, decode, judge, write; then wait for its pace. A venue's trouble is its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import NoReturn

import msgspec

from services.venue_poller.board import Board
from services.venue_poller.guest import Guest
from services.venue_poller.lines import Lines, by_reason, named
from services.venue_poller.metrics import Metrics
from services.venue_poller.sanity import WORDS, Judge, Judged
from services.venue_poller.venue import Decoded, Venue
from shared.backoff import Backoff
from shared.ban import Ban
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.service import Service
from shared.venuelines import Refusal, VenueLine

BACKOFF_S, BACKOFF_CAP_S = 5.0, 60.0
NO_MARK = "there is no fresh mark of Binance to prove prices by"


class VenuePoller:
    def __init__(
        self,
        venue: Venue,
        guest: Guest,
        ban: Ban,
        board: Board,
        lines: Lines,
        service: Service,
        metrics: Metrics,
        told: Callable[[str, str], None],
    ) -> None:
        self._venue = venue
        self._guest = guest
        self._ban = ban
        self._board = board
        self._lines = lines
        self._service = service
        self._metrics = metrics
        self._told = told  # after each round: the venue, and what is wrong with it, if anything is
        self._judge: Judge | None = None
        self._line = VenueLine(0, 0, 0, 0)
        self._backoff = Backoff(BACKOFF_S, BACKOFF_CAP_S)
        metrics.refusals(venue.name, dict.fromkeys(WORDS, 0))  # a series that first appears at 1 has not increased
        metrics.last_round.labels(venue.name).set(service.clock.now_ms() / 1000)  # silence counts from the start

    async def run(self) -> NoReturn:
        clock = self._service.clock
        while True:
            begun_s = clock.monotonic_s()
            trouble = await self.round()
            self._told(self._venue.name, trouble)
            wait_s = self._venue.pace_s - (clock.monotonic_s() - begun_s)
            if trouble:
                wait_s = max(self._backoff.next_s(), self._ban.remaining_s())
            else:
                self._backoff.reset()
            await clock.sleep(max(wait_s, 0.5))

    async def round(self) -> str:
        """One round; what is wrong with the venue, empty when nothing is."""
        begun_s = self._service.clock.monotonic_s()
        self._metrics.ban_until.labels(self._venue.name).set(self._ban.until_ms / 1000)
        try:
            await self._ban.refresh()
            judge = await self._recalled()
            await self._believe(judge, await self._ask())
        except (Transient, WireError, Refused, Rejected) as e:
            return await self._failed(e)
        self._metrics.rounds.labels(self._venue.name, "good").inc()
        self._metrics.duration.labels(self._venue.name).observe(self._service.clock.monotonic_s() - begun_s)
        return self._line.trouble

    async def _ask(self) -> Decoded:
        bodies = await self._guest.ask()
        try:
            return self._venue.decode(bodies, self._service.clock.now_ms())
        except RateLimited as e:
            await self._guest.obey(e)
            raise

    async def _believe(self, judge: Judge, decoded: Decoded) -> None:
        now_ms, venue = self._service.clock.now_ms(), self._venue.name
        binance = await self._board.binance()
        if not binance.fresh:
            raise Transient(NO_MARK)
        judged = judge.judge(decoded.rows, binance, now_ms)
        for error in decoded.bad:
            self._metrics.bad(venue, error)
        for row in judged.anew:
            self._lines.past.forget(row)
        self._board.coins.update(row.coin for row in judged.good)
        gone = judge.gone(now_ms)
        refused, more = named(judged.refused)
        line = VenueLine(
            at=now_ms if judged.good else self._line.at,
            asked=now_ms,
            rows=0,
            coins=0,
            refused=refused,
            more_refused=more,
            aside={**decoded.aside, "unmatched": judged.unmatched, "unreadable": len(decoded.bad)},
            trouble="" if judged.good else _whole(judged.refused.values()),
        )
        self._line = await self._lines.write(judged.good, gone, line, now_ms)
        judge.forget(gone)
        self._count(judged, decoded.bad)

    def _count(self, judged: Judged, bad: list[WireError]) -> None:
        venue, metrics = self._venue.name, self._metrics
        metrics.refusals(venue, by_reason(judged.refused, bad))
        metrics.contracts.labels(venue, "believed").set(len(judged.good))
        metrics.contracts.labels(venue, "refused").set(len(judged.refused) + len(bad))
        metrics.contracts.labels(venue, "unmatched").set(judged.unmatched)
        if judged.good:
            metrics.last_round.labels(venue).set(self._service.clock.now_ms() / 1000)

    async def _recalled(self) -> Judge:
        if self._judge is None:
            rows, refused = await self._lines.recall(self._service.clock.now_ms())
            self._judge = Judge(rows, refused)
        return self._judge

    async def _failed(self, error: Exception) -> str:
        self._metrics.rounds.labels(self._venue.name, _outcome(error)).inc()
        said = " ".join(str(error).split())[:160]
        self._line = msgspec.structs.replace(
            self._line,
            trouble=said,
            asked=self._service.clock.now_ms(),
            until=self._ban.until_ms if self._ban.remaining_s() else 0,
        )
        with contextlib.suppress(Transient):
            await self._lines.say(self._line)
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
