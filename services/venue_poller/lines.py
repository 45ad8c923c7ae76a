"""A venue's rows on their way to Redis: grouped by coin, with what they were before; and the line about the venue."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec
from redis.asyncio import Redis

from services.venue_poller.opinion import changes
from services.venue_poller.past import Past
from shared.errors import WireError
from shared.model import VenueOpenInterest
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, Refusal, VenueLine, venue_rows

FORGOTTEN_MS = 7 * 86_400_000
NAMED = 200  # refused contracts that a line names; the others are counted


class Lines:
    """The memory of what stands in the venue's hash, so that a contract that is silent keeps its last good row."""

    def __init__(self, redis: Redis, venue: str) -> None:
        self._redis = redis
        self._venue = venue
        self._stored = venue_rows(venue)
        self._held: dict[str, dict[str, VenueOpenInterest]] = {}  # coin -> symbol -> row
        self.past = Past()

    async def recall(self, now_ms: int) -> tuple[list[VenueOpenInterest], Mapping[str, Refusal]]:
        """What a process before this one left. Raises `Transient`. What cannot be read is written over.

        A venue that nobody asked for a week begins anew: what it told then is nothing to hold it against.
        """
        bad: list[WireError] = []
        stored = await self._stored.all(self._redis, bad.append)
        lines = await VENUE_LINES.all(self._redis, bad.append, only={self._venue})
        line = lines.get(self._venue)
        if line is not None and now_ms - line.asked > FORGOTTEN_MS:
            async with round_trip(self._redis) as pipe:
                pipe.delete(self._stored.key)
            return [], {}
        self._held = {coin: {row.symbol: row for row in rows} for coin, rows in stored.items()}
        return [row for rows in stored.values() for row in rows], line.refused if line else {}

    def changes(self, now_ms: int) -> dict[str, Decimal]:
        return changes(self.held(), self.past, now_ms)

    def held(self) -> list[VenueOpenInterest]:
        return [row for rows in self._held.values() for row in rows.values()]

    async def write(
        self, rows: Iterable[VenueOpenInterest], gone: Iterable[VenueOpenInterest], line: VenueLine, now_ms: int
    ) -> VenueLine:
        """Only the coins that were told now; ``gone`` leave. Raises `Transient`."""
        fresh: defaultdict[str, dict[str, VenueOpenInterest]] = defaultdict(dict)
        rows = list(rows)
        for row in rows:
            fresh[row.coin][row.symbol] = msgspec.structs.replace(row, past=self.past.of(row, now_ms))
        self.past.note(rows)
        self.past.prune(now_ms)
        left = {row.coin for row in gone}
        for row in gone:
            self._held.get(row.coin, {}).pop(row.symbol, None)
            self.past.forget(row)
        for coin, told in fresh.items():
            self._held[coin] = {**self._held.get(coin, {}), **told}
        touched = {coin: [*self._held[coin].values()] for coin in {*fresh, *left} if self._held.get(coin)}
        emptied = [coin for coin in left if not self._held.get(coin)]
        whole = msgspec.structs.replace(line, rows=len(rows), coins=len(fresh))
        async with round_trip(self._redis) as pipe:
            self._stored.put(pipe, touched)
            self._stored.drop(pipe, emptied)
            VENUE_LINES.put(pipe, {self._venue: whole})
        return whole

    async def say(self, line: VenueLine) -> None:
        """How the venue stands, where a round brought nothing. Raises `Transient`."""
        async with round_trip(self._redis) as pipe:
            VENUE_LINES.put(pipe, {self._venue: line})


def named(refused: Mapping[str, Refusal]) -> tuple[dict[str, Refusal], int]:
    """The refused that a line names, oldest first, and how many more there are."""
    ordered = sorted(refused, key=lambda symbol: (refused[symbol].since, symbol))
    return {symbol: refused[symbol] for symbol in ordered[:NAMED]}, max(0, len(ordered) - NAMED)


def by_reason(refused: Mapping[str, Refusal], bad: Iterable[WireError]) -> dict[str, int]:
    return dict(Counter([one.why for one in refused.values()] + [e.reason for e in bad]))
