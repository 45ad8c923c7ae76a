"""Where Binance goes another way than all the others."""

from __future__ import annotations

from decimal import Decimal

import pytest
from redis.asyncio import Redis

from services.venue_poller.opinion import changes, dissents, said
from services.venue_poller.past import Past
from shared.venuelines import VENUE_LINES
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.venue_poller.told import told
from tests.venue_poller.world import World


@pytest.mark.parametrize(
    ("own", "others", "alone"),
    [
        ("0", ("0.021", "0.03", "0.025"), True),  # frozen while three moved by more than 2 %
        ("0", ("0.021", "0.03"), False),  # two are not enough
        ("0", ("0.019", "0.03", "0.025"), False),
        ("0", ("0.03", "-0.01", "0.025"), False),  # the others do not agree
        ("0.05", ("0.01", "0.02", "0.025"), True),
        ("-0.05", ("0.01", "-0.02", "0.025"), True),
        ("0.03", ("0.01", "0.02", "0.025"), False),
    ],
)
def test_outside_of_what_all_others_did(own: str, others: tuple[str, ...], alone: bool) -> None:
    told_by = {f"v{n}": {"BTC": Decimal(change)} for n, change in enumerate(others)}

    assert bool(dissents({"binance": {"BTC": Decimal(own)}, **told_by})) is alone


def test_the_evidence_names_every_venue_and_the_farthest_coin_first() -> None:
    by_venue = {venue: {"BTC": Decimal("0.03"), "ETH": Decimal("0.09")} for venue in ("bybit", "okx", "gate")}
    by_venue["binance"] = {"BTC": Decimal(0), "ETH": Decimal(0), "SOL": Decimal(0)}

    found = dissents(by_venue)

    assert [one.coin for one in found] == ["ETH", "BTC"]
    assert said(found).startswith("ETH in 10 min: binance +0.0%, bybit +9.0%, gate +9.0%, okx +9.0%; BTC in 10 min")
    assert said([]) == ""


def test_a_change_is_of_what_was_there_then_and_is_fresh_now() -> None:
    past = Past()
    past.note([told(base="1000", price="9000"), told("BTCUSD", "100", price="9000"), told("OLD", "7", coin="X")])
    now_ms = NOW_MS + 600_000
    now = [
        told(base="1100", price="9000", received_ms=now_ms),
        told("BTCPERP", "500", price="9000", received_ms=now_ms),  # joined meanwhile: no change
        told("BTCUSD", "90", price="9000", received_ms=now_ms),  # below a million: moves by a trade
        told("OLD", "9", coin="X", received_ms=now_ms - 31_000),
    ]

    assert changes(now, past, now_ms) == {"BTC": Decimal("0.1")}


async def test_a_reading_that_stands_still_is_said_and_not_corrected(redis: Redis, clock: FakeClock) -> None:
    world = World(redis, clock, coins=10)
    await world.round()
    world.frozen["BTC"] = world.market.binance("BTC", clock.now_ms())[1]
    true = world.market.coins
    begun_ms = clock.now_ms()
    # Each minute a little more at every other venue: 5 % in ten minutes.
    grown = lambda c, at: true(c, at) * (1 + (c.coin == "BTC") * max(0, at - begun_ms) / 12_000_000)  # noqa: E731
    world.market.coins = grown  # type: ignore[method-assign]

    for _ in range(13):
        clock.advance(55)
        seen = await world.round()

    assert seen.lines["binance"].warning.startswith("BTC in 10 min: binance +0.0%, bitget +")
    assert world.service.health.report().state != "degraded"
    found = seen.sum("BTC", clock.now_ms())
    assert next(row.base for row in found.members if row.venue == "binance") == Decimal(f"{world.frozen['BTC']:.3f}")
    stored = await VENUE_LINES.all(redis, pytest.fail)
    assert stored["binance"].warning == seen.lines["binance"].warning
