"""What an operator may write, and what stops the start with one clear line."""

from __future__ import annotations

import pytest

from services.oi_poller.settings import Settings
from shared.errors import SettingsError
from shared.settings import load


def test_the_defaults_are_the_ones_operators_know() -> None:
    """A host that sets nothing polls as documented."""
    settings = load(Settings, {})

    assert (settings.per_minute, settings.reserve, settings.in_flight) == (None, 200, 64)
    assert (settings.min_interval_s, settings.max_interval_s) == (5.0, 30.0)
    assert (settings.enter_quote, settings.exit_quote) == (4_000_000, 2_000_000)
    assert (settings.contract_types, settings.quote_assets) == ({"PERPETUAL"}, {"USDT"})
    assert (settings.rest_url, settings.metrics_port) == ("https://fapi.binance.com", 9102)
    assert settings.limit_s >= 30


@pytest.mark.parametrize(
    ("told", "why"),
    [
        # such thresholds would let a symbol enter and leave at every look
        ({"OI_LIQUID_EXIT_QUOTE_24H": "5000000"}, r"EXIT_QUOTE_24H=5000000 .* OI_LIQUID_ENTER_QUOTE_24H=4000000"),
        ({"OI_MIN_INTERVAL_SEC": "31"}, r"OI_MIN_INTERVAL_SEC=31 .* OI_MAX_INTERVAL_SEC=30"),
        # open interest times mark of a BTC-quoted contract is BTC, and would be shown as dollars
        ({"OI_QUOTE_ASSETS": "USDT,BTC"}, "OI_QUOTE_ASSETS='USDT,BTC': BTC is not of"),
        *(({"OI_CONTRACT_TYPES": name}, "OI_CONTRACT_TYPES=") for name in (",", "perpetual!", "A", "X" * 41)),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(told: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        load(Settings, told)


def test_a_contract_type_of_tomorrow_can_be_switched_on() -> None:
    """The exchange adds one now and then; nobody should have to wait for a release."""
    assert load(Settings, {"OI_CONTRACT_TYPES": "perpetual, moon_perpetual"}).contract_types == {
        "PERPETUAL",
        "MOON_PERPETUAL",
    }
