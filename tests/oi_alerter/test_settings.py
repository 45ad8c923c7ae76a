"""What an operator may write, and what stops the start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.oi_alerter.detector import Frame
from services.oi_alerter.settings import Settings, symbols
from shared.errors import SettingsError
from shared.settings import load


def test_defaults_are_those_of_the_old_scripts() -> None:
    """Whoever sets nothing gets the alerts they had."""
    settings = load(Settings, {})
    assert settings.frames == (
        Frame("5 min", 300_000, 0.03, 600_000),
        Frame("15 min", 900_000, 0.07, 900_000),
        Frame("1 hour", 3_600_000, 0.12, 3_600_000),
    )
    assert settings.min_contracts == 5000
    assert settings.metrics_port == 9104
    assert settings.warm
    assert "USDCUSDT" in settings.skip
    assert "BTCUSDT" not in settings.skip


def test_every_name_reaches_its_time_frame() -> None:
    environ = {}
    for number, minutes in enumerate((5, 15, 60), 1):
        environ[f"OI_SPIKE_THRESHOLD_PCT_{minutes}MIN"] = f"0.{number}"
        environ[f"OI_LOOKBACK_WINDOW_{minutes}MIN"] = f"{number}0"
        environ[f"OI_ALERT_COOLDOWN_{minutes}MIN"] = f"{number}.5"
    settings = load(Settings, {**environ, "OI_MIN_DELTA_CONTRACTS": "7", "OI_ALERT_WARM": "off"})
    assert settings.frames == (
        Frame("5 min", 10_000, 0.1, 1500),
        Frame("15 min", 20_000, 0.2, 2500),
        Frame("1 hour", 30_000, 0.3, 3500),
    )
    assert settings.min_contracts == 7
    assert not settings.warm


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OI_SPIKE_THRESHOLD_PCT_5MIN", "3"),  # per cent, where a fraction is meant
        ("OI_SPIKE_THRESHOLD_PCT_5MIN", "0"),
        ("OI_SPIKE_THRESHOLD_PCT_15MIN", "-0.07"),
        ("OI_LOOKBACK_WINDOW_60MIN", "0"),
        ("OI_LOOKBACK_WINDOW_60MIN", "7201"),  # the sweeps are kept for three hours
        ("OI_ALERT_COOLDOWN_5MIN", "-1"),
        ("OI_MIN_DELTA_CONTRACTS", "nan"),
        ("OI_ALERT_SKIP", ","),
        ("OI_ALERT_SKIP", "BTC USDT"),
        ("OI_ALERT_WARM", "warm"),
        ("BINANCE_REST_URL", "fapi.binance.com"),
    ],
)
def test_a_bad_value_stops_the_start_and_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(Settings, {name: text})


def test_nothing_skipped_is_said_with_a_word() -> None:
    assert symbols("None") == frozenset()
    assert symbols(" usdcusdt ,币安人生USDT,") == {"USDCUSDT", "币安人生USDT"}


@given(st.text(max_size=80))
def test_any_list_is_symbols_or_refused(text: str) -> None:
    try:
        names = symbols(text)
    except ValueError:
        return
    assert all(name and name.isprintable() and " " not in name and len(name) <= 64 for name in names)
