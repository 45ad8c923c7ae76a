"""What other venues tell, as it stands in Redis."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.aggregate import Out
from shared.errors import WireError
from shared.model import VenueOpenInterest
from shared.store import round_trip
from shared.venuelines import VENUE_LINES, Refusal, VenueLine, read_venues, venue_rows
from tests.builders import NOW_MS
from tests.venue_poller.told import told

OKX = venue_rows("okx")
PEPE = told(
    "PEPE-USDT-SWAP",
    "9000000000000.00000000",
    coin="PEPE",
    price="0.000000004",
    venue="okx",
    mark_of="binance",
    funding_rate=Decimal("-0.0001"),
    venue_ms=NOW_MS - 5,
    past=(Decimal("8.5"), None, Decimal(7)),
)


def stored(row: VenueOpenInterest) -> bytes:
    return OKX.encode([row])


@given(
    st.decimals("0.00000001", "1e15", places=8),
    st.decimals("0.0000000001", "1e6", places=10),
    st.sampled_from(["one", "both", "unknown"]),
)
def test_a_row_comes_back_as_it_was(base: Decimal, price: Decimal, sides: str) -> None:
    row = msgspec.structs.replace(PEPE, base=base, mark_price=price, sides=sides)

    assert OKX.decoded({b"PEPE": stored(row)}, pytest.fail) == {"PEPE": [row]}


def test_it_can_be_read_as_it_stands() -> None:
    """With redis-cli, by a person: plain decimals, no exponent, no wire letters."""
    (line,) = json.loads(stored(PEPE))

    assert line["mark"] == "0.000000004"
    assert (line["usd"], line["sides"], line["markOf"], line["at"]) == ("36000.00", "one", "binance", NOW_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "NaN"},
        {"base": "0"},
        {"base": "-1"},
        {"mark": "1e5"},
        {"sides": "left"},
        {"at": 10**18},
        {"past": ["x"]},
    ],
)
def test_what_cannot_be_trusted_costs_its_coin(changes: dict[str, object]) -> None:
    (line,) = json.loads(stored(PEPE))
    bad: list[WireError] = []

    found = OKX.decoded({b"BAD": json.dumps([{**line, **changes}]).encode(), b"PEPE": stored(PEPE)}, bad.append)

    assert (list(found), [e.reason for e in bad]) == (["PEPE"], ["stored_venue"])


@given(st.binary(max_size=60))
def test_no_bytes_raise(blob: bytes) -> None:
    OKX.decoded({b"BTC": blob}, lambda _: None)
    VENUE_LINES.decoded({b"okx": blob}, lambda _: None)


async def test_all_venues_and_the_sum_of_a_coin(redis: Redis) -> None:
    refused = {"BTC_USDT": Refusal("BTC", "jump", "from 1 to 3", NOW_MS - 1000)}
    async with round_trip(redis) as pipe:
        venue_rows("bybit").put(pipe, {"BTC": [told()]})
        OKX.put(pipe, {"PEPE": [PEPE]})
        VENUE_LINES.put(pipe, {"bybit": VenueLine(NOW_MS, NOW_MS, 1, 1), "okx": VenueLine(NOW_MS, NOW_MS, 1, 1)})
        VENUE_LINES.put(pipe, {"gate": VenueLine(NOW_MS, NOW_MS, 0, 0, refused)})

    seen = await read_venues(redis, pytest.fail)

    assert seen.coins() == {"BTC", "PEPE"}
    found = seen.sum("BTC", NOW_MS)
    assert (found.base, found.venues, found.out) == (28000, {"bybit"}, (Out("gate", "BTC_USDT", "jump"),))


async def test_where_no_venue_is_read_there_is_nothing(redis: Redis) -> None:
    seen = await read_venues(redis, pytest.fail)

    assert (seen.rows, seen.lines, seen.coins()) == ({}, {}, set())
