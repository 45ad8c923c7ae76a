"""Which venues, and where they are."""

from __future__ import annotations

import pytest

from services.venue_poller.settings import Settings
from services.venue_poller.venues import VENUES
from shared.errors import SettingsError
from shared.settings import load


@pytest.mark.parametrize(
    ("text", "venues"),
    [("", ()), ("okx", ("okx",)), (" Gate, OKX ,gate", ("gate", "okx")), ("all", tuple(VENUES))],
)
def test_venues(text: str, venues: tuple[str, ...]) -> None:
    assert load(Settings, {"VENUES": text}).venues == venues


@pytest.mark.parametrize("text", ["binance", "okx,kraken", "all,okx"])
def test_a_venue_that_is_not_known_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="is not of"):
        load(Settings, {"VENUES": text})


def test_addresses_in_place_of_the_venues_own() -> None:
    told = load(Settings, {"VENUE_URLS": "okx=http://127.0.0.1:1/okx/, gate=https://x"})

    assert told.origins == {"okx": "http://127.0.0.1:1/okx", "gate": "https://x"}


@pytest.mark.parametrize("text", ["okx", "kraken=http://x", "okx=ftp://x", "okx=http://u:p@x", "okx=http://x?y=1"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError):
        load(Settings, {"VENUE_URLS": text})
