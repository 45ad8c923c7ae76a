"""What is refused at the start, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.publisher.settings import Settings
from shared.errors import SettingsError
from shared.settings import load

KEY = "a-very-secret-key"


def settings(**environ: str) -> Settings:
    return load(Settings, {"BACKEND_URL": "https://backend.example", "BACKEND_API_KEY": KEY, **environ})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("backend.example", "https://backend.example"),
        ("https://backend.example/", "https://backend.example"),
        ("https://backend.example:8443", "https://backend.example:8443"),
        ("http://127.0.0.1:3001", "http://127.0.0.1:3001"),
        ("http://localhost:3001", "http://localhost:3001"),
        ("http://[::1]:3001", "http://[::1]:3001"),
    ],
)
def test_a_value_without_a_scheme_means_https(given: str, used: str) -> None:
    assert settings(BACKEND_URL=given).backend_url == used


@pytest.mark.parametrize(
    "given",
    [
        "http://backend.example",
        "http://127.0.0.1.example",
        "https://backend.example/api",
        "https://user:password@backend.example",
    ],
)
def test_an_address_that_would_leak_or_mislead_stops_the_start(given: str) -> None:
    with pytest.raises(SettingsError, match=r"^BACKEND_URL=") as caught:
        settings(BACKEND_URL=given)
    assert "password" not in str(caught.value)


def test_plain_http_to_another_host_has_to_be_allowed_by_name() -> None:
    url = "http://backend.example"
    assert settings(BACKEND_URL=url, BACKEND_ALLOW_HTTP="1").backend_url == url


def test_the_names_operators_already_use_are_understood() -> None:
    old = load(Settings, {"VOLSPIKE_API_URL": "backend.example", "VOLSPIKE_API_KEY": KEY})

    assert (old.backend_url, old.backend_api_key) == ("https://backend.example", KEY)


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(settings())


@pytest.mark.parametrize("unfit", [f"{KEY}\nX-Other: 1", f'"{KEY}"', f"'{KEY}'", f'"{KEY}', f"{KEY}'"])
def test_a_key_that_no_header_takes_or_with_its_quotes_on_is_refused_unshown(unfit: str) -> None:
    """`docker run --env-file` keeps the quotes, and the backend would answer 401 all night."""
    with pytest.raises(SettingsError, match=r"BACKEND_API_KEY=\(secret\): ") as caught:
        settings(BACKEND_API_KEY=unfit)
    assert KEY not in str(caught.value)
    assert ("has its quotes on" in str(caught.value)) is ("\n" not in unfit)
    assert caught.value.__cause__ is None


def test_the_key_comes_from_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "backend_api_key").write_text(KEY + "\n")

    assert settings(BACKEND_API_KEY="", CREDENTIALS_DIRECTORY=str(tmp_path)).backend_api_key == KEY


def test_an_unreadable_credential_is_named_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "backend_api_key").write_bytes(b"\xff\xfe" + KEY.encode())

    with pytest.raises(SettingsError, match="backend_api_key") as caught:
        settings(BACKEND_API_KEY="", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert KEY not in str(caught.value)


def test_a_missing_key_is_a_mistake_except_on_this_machine() -> None:
    with pytest.raises(SettingsError, match="BACKEND_API_KEY is not set"):
        settings(BACKEND_API_KEY="")
    assert settings(BACKEND_API_KEY="", BACKEND_URL="http://127.0.0.1:3001").backend_api_key == ""
