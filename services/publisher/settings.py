"""What the publisher can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared.agreed import (
    BACKEND_ALLOW_HTTP,
    BACKEND_API_KEY,
    BACKEND_AUDIT,
    BACKEND_URL,
    LOOPBACK,
    MARK_MAX_AGE,
    METRICS_PORTS,
    OI_MAX_AGE,
    VERIFIED_MAX_AGE,
    unfit_key,
)
from shared.errors import SettingsError
from shared.settings import CommonSettings, choice, integer, metrics_port, number, setting, switch, take, text

CREDENTIAL = "backend_api_key"


@dataclass(frozen=True)
class Settings(CommonSettings):
    backend_url: str = take(BACKEND_URL)
    backend_api_key: str = take(BACKEND_API_KEY)
    credentials_folder: str = setting(
        "CREDENTIALS_DIRECTORY", "", text, "set by systemd: the folder that holds the credential"
    )
    allow_http: bool = take(BACKEND_ALLOW_HTTP)
    audit: bool = take(BACKEND_AUDIT)
    timeout_s: float = setting(
        "BACKEND_TIMEOUT_SEC", "30", number(0.1, 300), "seconds until a POST counts as unanswered"
    )
    retry_max_s: float = setting("BACKEND_RETRY_MAX_SEC", "15", number(0.1, 300), "longest wait between two attempts")
    max_rows: int = setting(
        "BACKEND_MAX_ROWS",
        "0",
        integer(0, 100_000),
        "rows in one POST; 0: all of them, fewer where the backend answers 413",
    )
    send_funding: bool = setting("BACKEND_SEND_FUNDING", "on", switch, "add fundingRate to each row that has one")
    alerts_in_doubt: str = setting(
        "ALERTS_IN_DOUBT",
        "once",
        choice("once", "again"),
        "an alert that may have arrived and cannot be looked for is sent once, or again and perhaps heard twice",
    )
    mark_max_age_s: float = take(MARK_MAX_AGE)
    oi_max_age_s: float = take(OI_MAX_AGE)
    verified_max_age_s: float = take(VERIFIED_MAX_AGE)
    metrics_port: int = metrics_port(METRICS_PORTS["publisher"])

    def __post_init__(self) -> None:
        url = urlsplit(self.backend_url)
        if url.scheme == "http" and url.hostname not in LOOPBACK and not self.allow_http:
            why = "must be https, or BACKEND_ALLOW_HTTP=1 must say that the key may travel in the clear"
            raise SettingsError(f"BACKEND_URL={self.backend_url!r:.100}: {why}")
        key = api_key(self.backend_api_key, self.credentials_folder)
        if not key and url.hostname not in LOOPBACK:
            raise SettingsError(f"BACKEND_API_KEY is not set: {self.backend_url} will not take anything without a key")
        object.__setattr__(self, "backend_api_key", key)


def api_key(value: str, folder: str) -> str:
    """The key given, else the credential file's; never shown when it cannot be used."""
    name = "BACKEND_API_KEY"
    path = Path(folder) / CREDENTIAL
    if not value and folder and path.is_file():
        name = str(path)
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise SettingsError(f"{path}: cannot be read: {type(e).__name__}") from None
    if unfit := unfit_key(value):
        raise SettingsError(f"{name}=(secret): {unfit}")
    return value
