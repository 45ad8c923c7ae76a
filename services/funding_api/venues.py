"""Open interest over venues: what Redis holds of them -> bodies. The sums are those of `shared.aggregate`."""

from __future__ import annotations

from decimal import Decimal

from redis.asyncio import Redis

from services.funding_api import bodies
from services.funding_api.answers import Answer
from services.funding_api.bodies import (
    Aggregated,
    LeftOut,
    Problem,
    VenueContract,
    VenueShare,
    VenueState,
    VenueSum,
)
from services.funding_api.metrics import Metrics
from shared.aggregate import Aggregate, Out, age_s, change, shares, why_out
from shared.clock import Clock
from shared.coins import unit_of
from shared.model import PAST_S, VenueOpenInterest
from shared.together import Together
from shared.venuelines import AllVenues, Refusal, VenueLine, read_venues

FRESH_S = 1.0
NONE_READ = "No other venue is read"


class Venues:
    """All venues at once are read at most once in `FRESH_S`; one coin whenever it is asked for."""

    def __init__(self, redis: Redis, metrics: Metrics, clock: Clock) -> None:
        self._redis = redis
        self._metrics = metrics
        self._clock = clock
        self._together = Together(self._read, FRESH_S, clock)

    async def aggregate(self) -> Answer:
        """Raises `Transient`."""
        return await self._together.latest()

    async def coin(self, base: str) -> Answer:
        """``btc``, ``1000PEPE`` and ``pepe`` name coins. Raises `Transient`."""
        coin = unit_of(base.strip().upper()).coin
        seen = await read_venues(self._redis, self._metrics.bad_in_redis, coin)
        return of_coin(seen, coin, self._clock.now_ms())

    async def _read(self) -> Answer:
        return aggregated(await read_venues(self._redis, self._metrics.bad_in_redis), self._clock.now_ms())


def aggregated(seen: AllVenues, now_ms: int) -> Answer:
    if not seen.lines:
        return Answer(404, bodies.Refusal(Problem(NONE_READ)))
    sums = [summed(seen, coin, now_ms) for coin in sorted(seen.coins())]
    venues = [_state(venue, line) for venue, line in sorted(seen.lines.items())]
    return Answer(200, Aggregated(venues, sums, now_ms / 1000))


def of_coin(seen: AllVenues, coin: str, now_ms: int) -> Answer:
    if not seen.lines:
        return Answer(404, bodies.Refusal(Problem(NONE_READ)))
    if not seen.of(coin) and not seen.refused(coin):
        return Answer(404, bodies.Refusal(Problem("Coin not found", symbol=coin)))
    return Answer(200, summed(seen, coin, now_ms))


def summed(seen: AllVenues, coin: str, now_ms: int) -> VenueSum:
    found = seen.sum(coin, now_ms)
    refused = seen.refused(coin)
    inside = {(row.venue, row.symbol) for row in found.members}
    return VenueSum(
        coin=coin,
        open_interest=float(found.base) if found.members else None,
        open_interest_usd=float(found.usd) if found.members else None,
        members=[_contract(row, now_ms) for row in found.members],
        left_out=[_left_out(one, refused.get((one.venue, one.symbol))) for one in found.out],
        shown=[_contract(row, now_ms) for row in seen.of(coin) if (row.venue, row.symbol) not in inside],
        shares=_shares(found),
        oldest_seconds=found.oldest_s,
        change5m=_change(found, PAST_S[0]),
        change15m=_change(found, PAST_S[1]),
        change1h=_change(found, PAST_S[2]),
    )


def _shares(found: Aggregate) -> list[VenueShare]:
    now, then = shares(found), shares(found, PAST_S[2])
    return [VenueShare(venue, float(now[venue]), float(then[venue]) if then else None) for venue in sorted(now)]


def _left_out(one: Out, refusal: Refusal | None) -> LeftOut:
    if refusal is None or refusal.why != one.why:  # refused besides: no evidence of why it is out
        return LeftOut(one.venue, one.symbol, one.why)
    return LeftOut(one.venue, one.symbol, one.why, refusal.detail, refusal.since / 1000)


def _change(found: Aggregate, seconds: int) -> float | None:
    fraction = change(found, seconds)
    return None if fraction is None else float(fraction)


def _contract(row: VenueOpenInterest, now_ms: int) -> VenueContract:
    return VenueContract(
        venue=row.venue,
        symbol=row.symbol,
        open_interest=float(row.base),
        open_interest_usd=float(row.usd or Decimal(0)),
        sides=row.sides,
        told=float(row.told),
        unit=row.unit,
        mark_price=float(row.mark_price or Decimal(0)),
        mark_of=row.mark_of,
        funding_rate=None if row.funding_rate is None else float(row.funding_rate),
        updated_at=row.received_ms / 1000,
        age_seconds=age_s(row, now_ms),
        why_not_summed=why_out(row, now_ms) or None,
    )


def _state(venue: str, line: VenueLine) -> VenueState:
    return VenueState(
        venue=venue,
        believed_at=line.at / 1000 if line.at else None,
        contracts=line.rows,
        coins=line.coins,
        refused=len(line.refused),
        trouble=line.trouble,
        warning=line.warning,
    )
