"""What the publisher can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.settings import CommonSettings, integer, metrics_port, number, setting, switch, text

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
CREDENTIAL = "backend_api_key"


@dataclass(frozen=True)
class Settings(CommonSettings):
    backend_url: str = setting(
        "BACKEND_URL",
        None,
        text,
        "origin of the backend; without a scheme it means https",
        aliases=("VOLSPIKE_API_URL",),
    )
    backend_api_key: str = setting(
        "BACKEND_API_KEY",
        "",
        text,
        f"key sent as X-API-Key; or a systemd credential named {CREDENTIAL}",
        aliases=("VOLSPIKE_API_KEY",),
        secret=True,
    )
    credentials_folder: str = setting(
        "CREDENTIALS_DIRECTORY", "", text, "set by systemd: the folder that holds the credential"
    )
    allow_http: bool = setting(
        "BACKEND_ALLOW_HTTP", "off", switch, "send the key without TLS to a host that is not this one"
    )
    audit: bool = setting("BACKEND_AUDIT", "on", switch, "off for a backend that offers nothing to read back")
    timeout_s: float = setting(
        "BACKEND_TIMEOUT_SEC", "30", number(0.1, 300), "seconds until a POST counts as unanswered"
    )
    retry_max_s: float = setting("BACKEND_RETRY_MAX_SEC", "15", number(0.1, 300), "longest wait between two attempts")
    max_rows: int = setting(
        "BACKEND_MAX_ROWS",
        "0",
        integer(0, 100_000),
        "rows in one POST; 0: all of them, halved where the backend answers 413",
    )
    send_funding: bool = setting("BACKEND_SEND_FUNDING", "on", switch, "add fundingRate to each row that has one")
    mark_max_age_s: float = setting("MARK_MAX_AGE_SEC", "15", number(0.1, 3600), "older mark prices are not published")
    oi_max_age_s: float = setting("OI_MAX_AGE_SEC", "60", number(0.1, 3600), "older open interest is not published")
    verified_max_age_s: float = setting(
        "VERIFIED_MAX_AGE_SEC", "60", number(0.5, 3600), "without a verified cycle for so long, /healthz answers 503"
    )
    metrics_port: int = metrics_port(9103)

    def __post_init__(self) -> None:
        object.__setattr__(self, "backend_url", backend_origin(self.backend_url, self.allow_http))
        key = api_key(self.backend_api_key, self.credentials_folder)
        if not key and urlsplit(self.backend_url).hostname not in LOOPBACK:
            raise SettingsError(f"BACKEND_API_KEY is not set: {self.backend_url} will not take anything without a key")
        object.__setattr__(self, "backend_api_key", key)


def backend_origin(value: str, allow_http: bool) -> str:
    """``https://host[:port]``; plain http only to this machine, or where it is allowed by name."""
    shown = value.rpartition("@")[2] if "@" in value else value  # what stands before an @ could be a password
    try:
        url = urlsplit(value if "://" in value else f"https://{value}")
        problem = _problem(url.scheme, url.hostname, allow_http)
        if url.username is not None or url.path.strip("/") or url.query or url.fragment:
            problem = problem or "must be an origin such as https://host:port, without a path or a user"
        _ = url.port  # ValueError when it is no port
    except ValueError as e:
        problem = str(e)
    if problem:
        raise SettingsError(f"BACKEND_URL={shown!r:.100}: {problem}")
    return f"{url.scheme}://{url.netloc}"


def _problem(scheme: str, host: str | None, allow_http: bool) -> str:
    if scheme not in {"https", "http"}:
        return "must start with https://"
    if not host:
        return "names no host"
    if scheme == "http" and host not in LOOPBACK and not allow_http:
        return "must be https, or BACKEND_ALLOW_HTTP=1 must say that the key may travel in the clear"
    return ""


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
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise SettingsError(f"{name}=(secret): holds a character that no header can carry")
    return value
