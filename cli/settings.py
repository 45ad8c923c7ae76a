"""What `oi` is told: the settings the services read, from the same places.

One source, never a mixture of two: a file named with ``--env-file``; else the environment, where it names REDIS_URL;
else a demo that runs in this checkout; else the installed settings; else the defaults.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.settings import declared, integer, load, number, origin, redis_url, setting, switch, text

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo" / "env"
INSTALLED = Path("/etc/oi-pipeline/oi-pipeline.env")
KEY_FILE = "backend_api_key"  # beside the installed settings
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SERVICES = {"ws_daemon": 9101, "oi_poller": 9102, "publisher": 9103, "oi_alerter": 9104, "funding_api": 9105}
HEALTH = ",".join(f"{name}=http://127.0.0.1:{port}/healthz" for name, port in SERVICES.items())
_ASSIGNED = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_MENTIONED = re.compile(r"^#([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def backend_origin(value: str) -> str:
    """As the publisher takes it: without a scheme it means https. Empty: not known here."""
    return origin("https", "http")(value if "://" in value else f"https://{value}") if value else ""


def health_urls(value: str) -> dict[str, str]:
    """``name=url,...``"""
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    bad = [name for name, _, url in pairs if not name or not url.startswith(("http://", "https://"))]
    if bad:
        raise ValueError(f"{bad[0]!r:.40}: must be name=http://host:port/healthz, comma-separated")
    return {name: url for name, _, url in pairs}


@dataclass(frozen=True)
class Settings:
    """Ages and thresholds are the services' own, so that `oi` judges as they do."""

    redis_url: str = setting("REDIS_URL", "redis://127.0.0.1:6379/0", redis_url, "", secret=True)
    ws_url: str = setting("BINANCE_WS_URL", "wss://fstream.binance.com", origin("wss", "ws"), "")
    ws_connections: int = setting("BINANCE_WS_CONNECTIONS", "2", integer(1, 2), "")
    rest_url: str = setting("BINANCE_REST_URL", "https://fapi.binance.com", origin("https", "http"), "")
    backend_url: str = setting("BACKEND_URL", "", backend_origin, "", aliases=("VOLSPIKE_API_URL",))
    backend_api_key: str = setting("BACKEND_API_KEY", "", text, "", aliases=("VOLSPIKE_API_KEY",), secret=True)
    allow_http: bool = setting("BACKEND_ALLOW_HTTP", "off", switch, "")
    audit: bool = setting("BACKEND_AUDIT", "on", switch, "")
    health: dict[str, str] = setting("PIPELINE_HEALTH", HEALTH, health_urls, "")  # noqa: RUF009 - a declaration, like those around it
    mark_max_age_s: float = setting("MARK_MAX_AGE_SEC", "15", number(0.1, 3600), "")
    oi_max_age_s: float = setting("OI_MAX_AGE_SEC", "60", number(0.1, 3600), "")
    verified_max_age_s: float = setting("VERIFIED_MAX_AGE_SEC", "60", number(0.5, 3600), "")
    max_interval_s: float = setting("OI_MAX_INTERVAL_SEC", "30", number(0.05, 3600), "")
    enter_quote: float = setting("OI_LIQUID_ENTER_QUOTE_24H", "4000000", number(0, 1e15), "")
    exit_quote: float = setting("OI_LIQUID_EXIT_QUOTE_24H", "2000000", number(0, 1e15), "")

    @property
    def key_may_travel(self) -> bool:
        url = urlsplit(self.backend_url)
        return url.scheme == "https" or url.hostname in LOOPBACK or self.allow_http

    @property
    def redis_shown(self) -> str:
        """Where Redis is, without user, password and options."""
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return url.path
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        return f"{host}:{url.port or 6379}{url.path}"


class Told(NamedTuple):
    settings: Settings
    source: str  # where they come from, for people
    strangers: dict[str, str]  # names in the file that are no setting -> the nearest that is, or ""


def parse_env(content: str) -> dict[str, str]:
    """An EnvironmentFile: NAME=value lines, comments, quotes around a value; what is no assignment is left out."""
    values = {}
    for line in content.split("\n"):
        found = None if line.lstrip().startswith(("#", ";")) else _ASSIGNED.fullmatch(line)
        if found:
            value = found[2].strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
            values[found[1]] = value[1:-1] if quoted else value
    return values


def strangers(content: str) -> dict[str, str]:
    """Names that a file sets though nobody reads them. The example it was made of mentions every setting."""
    known = set(_MENTIONED.findall(content))
    if len(known) < len(declared(Settings)):
        return {}  # not made of the example: nothing to compare with
    known |= {name for item in declared(Settings) for name in (item.name, *item.aliases)}
    odd = [name for name in parse_env(content) if name not in known]
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), "") for name in odd}


def tell(environ: Mapping[str, str], env_file: Path | None = None) -> Told:
    """Settings from where they are found; `SettingsError` that names the bad one."""
    path = env_file or (None if environ.get("REDIS_URL") else next((p for p in (DEMO, INSTALLED) if p.exists()), None))
    if path is None:
        return Told(load(Settings, environ), "the environment" if environ.get("REDIS_URL") else "defaults", {})
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        if path != env_file and isinstance(e, PermissionError):
            return Told(load(Settings, environ), f"defaults ({path} cannot be read by this user)", {})
        raise SettingsError(f"{path}: {getattr(e, 'strerror', None) or 'is not text'}") from None
    settings = load(Settings, parse_env(content))
    if not settings.backend_api_key:
        settings = replace(settings, backend_api_key=_key_beside(path))
    return Told(settings, str(path), strangers(content))


def _key_beside(path: Path) -> str:
    try:
        return path.with_name(KEY_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
