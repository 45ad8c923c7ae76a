"""Names and defaults as existing hosts have them."""

from __future__ import annotations

import pytest

from services.funding_api.settings import Settings
from shared.errors import SettingsError
from shared.settings import load


def test_defaults_are_those_of_the_old_api() -> None:
    settings = load(Settings, {})
    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 8888, 9105)
    assert (settings.max_age_s, settings.state_file) == (180.0, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUNDING_API_PORT", "65536"),
        ("FUNDING_API_PORT", "http"),
        ("FUNDING_MAX_AGE_SEC", "0"),
        ("STATE_FILE", "/"),
        ("HISTORY_PATH", "/"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}='{value}'"):
        load(Settings, {name: value})
