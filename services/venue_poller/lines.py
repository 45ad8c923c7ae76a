"""A venue's rows on their way to Redis: grouped by coin, with what they were before; and the line about the venue."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from services.venue_poller.past import Past
from shared.errors import WireError
from shared.model import VenueOpenInterest
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, VenueLine, venue_rows

FORGOTTEN_MS = 7 * 86_400_000


class Lines:
    """What stands of a venue in Redis, so that a contract that is silent keeps its last good row."""

    def __init__(self, redis: Redis, venue: str) -> None:
        self._redis = redis
        self._venue = venue
        self._stored = venue_rows(venue)
        self._held: dict[str, dict[str, VenueOpenInterest]] = {}  # coin -> symbol -> row
        self.line = VenueLine(0, 0, 0, 0)
        self.past = Past()

    async def recall(self, now_ms: int) -> None:
        """Take over what a process before this one left. Raises `Transient`. What cannot be read is written over.

        A venue that nobody asked for a week begins anew: what it told then is nothing to hold it against.
        """
        bad: list[WireError] = []
        stored = await self._stored.all(self._redis, bad.append)
        line = (await VENUE_LINES.all(self._redis, bad.append, only={self._venue})).get(self._venue)
        if line is not None and now_ms - line.asked > FORGOTTEN_MS:
            async with round_trip(self._redis) as pipe:
                pipe.delete(self._stored.key)
            return
        self.line = line or self.line
        self._held = {coin: {row.symbol: row for row in rows} for coin, rows in stored.items()}

    def coins(self) -> set[str]:
        return {coin for coin, rows in self._held.items() if rows}

    def held(self) -> list[VenueOpenInterest]:
        return [row for rows in self._held.values() for row in rows.values()]

    async def write(
        self, line: VenueLine, now_ms: int, rows: list[VenueOpenInterest], gone: list[VenueOpenInterest]
    ) -> None:
        """The line, and the coins of ``rows``, which were told now; ``gone`` leave. Raises `Transient`."""
        told = [msgspec.structs.replace(row, past=self.past.of(row, now_ms)) for row in rows]
        self.past.note(rows)
        self.past.prune(now_ms)
        for row in gone:
            self._held.get(row.coin, {}).pop(row.symbol, None)
            self.past.forget(row)
        for row in told:
            self._held.setdefault(row.coin, {})[row.symbol] = row
        touched = {row.coin: [*self._held.get(row.coin, {}).values()] for row in (*told, *gone)}
        async with round_trip(self._redis) as pipe:
            self._stored.put(pipe, {coin: left for coin, left in touched.items() if left})
            self._stored.drop(pipe, [coin for coin, left in touched.items() if not left])
            VENUE_LINES.put(pipe, {self._venue: line})
        self.line = line
