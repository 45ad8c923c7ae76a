"""The stand-in's rows against recorded ones: the same fields with the same types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dev.venues.answers import Venues
from dev.venues.faults import FAULTS
from dev.venues.market import Market
from services.venue_poller.venues import VENUES
from tests.builders import NOW_MS
from tests.venue_poller.told import PAYLOADS, recorded

OF_STREAMS = {"instId", "symbolType", "nextFundingTime", "deliveryPrice"}  # of Bitget's, not in its REST rows


def first_rows(venue: str) -> list[Any]:
    """The first row of each answer."""
    stand_in = Venues(Market(7, NOW_MS, 3))
    bodies = [
        json.loads(stand_in.answer(venue, asked.path, dict(asked.params), NOW_MS).body)
        for asked in VENUES[venue].requests
    ]
    rows = {
        "bybit": lambda body: body["result"]["list"],
        "okx": lambda body: body["data"],
        "gate": lambda body: body,
        "hyperliquid": lambda body: body[1],
        "bitget": lambda body: body["data"],
    }[venue]
    return [rows(body)[0] for body in bodies]


THEIRS = {
    "bybit": recorded("bybit_ws_ticker_btcusdt_2026-08-13")["data"],
    "okx": recorded("okx_open_interest_rest_recorded")[0]["data"][0],
    "gate": recorded("gate_contracts_full_rows_2026-09-25")[0],
    "hyperliquid": recorded("hyperliquid_ctxs_main_2026-05-30")[0],
    "bitget": recorded("bitget_ws_ticker_birbusdt_2026-07-03")["data"][0],
}


@pytest.mark.parametrize("venue", THEIRS)
def test_a_row_has_every_field_that_was_recorded(venue: str) -> None:
    theirs = {
        name: type(value) for name, value in THEIRS[venue].items() if not (venue == "bitget" and name in OF_STREAMS)
    }

    for ours in first_rows(venue):
        assert theirs.items() <= {name: type(value) for name, value in ours.items()}.items()


def test_the_page_of_the_stand_in_tells_every_fault() -> None:
    page = (PAYLOADS.parents[2] / "dev" / "venues" / "README.md").read_text()

    assert {name for name in FAULTS if f"`{name}`" not in page} == set()
