"""What `oi` is told: the settings the services read, from the same places.

One source, never a mixture of two: a file named with ``--env-file``; else the environment, where it names REDIS_URL;
else a demo that runs in this checkout; else the installed settings; else the defaults.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from shared import agreed, sentinel
from shared.errors import SettingsError
from shared.proxy import Proxy
from shared.settings import HOST_ID, REDIS_URL, declared, load, origin, setting, take

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo" / "env"
EXAMPLE = ROOT / ".env.example"  # of this release: it mentions every setting
INSTALLED = Path("/etc/oi-pipeline/oi-pipeline.env")
KEY_FILE = "backend_api_key"  # beside the installed settings
HEALTH = ",".join(f"{name}=http://127.0.0.1:{port}/healthz" for name, port in agreed.METRICS_PORTS.items())
_ASSIGNED = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_EXPORTED = re.compile(r"^[ \t]*export[ \t]+([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", re.MULTILINE)
_MENTIONED = re.compile(r"^#([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def _known_or_empty(value: str) -> str:
    """The backend as the publisher takes it; empty: not known here."""
    return agreed.backend_origin(value) if value else ""


def health_urls(value: str) -> dict[str, str]:
    """``name=url,...``"""
    urls = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, _, url = part.partition("=")
        if not name or not url.endswith("/healthz"):
            raise ValueError(f"{part!r:.60} must be name=http://host:port/healthz, comma-separated")
        origin("http", "https")(url.removesuffix("/healthz"))
        urls[name] = url
    return urls


@dataclass(frozen=True)
class Settings:
    """Ages and thresholds are the services' own, so that `oi` judges as they do."""

    redis_url: str = take(REDIS_URL)
    ws_url: str = take(agreed.BINANCE_WS_URL)
    ws_connections: int = take(agreed.BINANCE_WS_CONNECTIONS)
    rest_url: str = take(agreed.BINANCE_REST_URL)
    proxy: Proxy | None = take(agreed.BINANCE_PROXY)
    host_id: str = take(HOST_ID)
    egress_id: str = take(agreed.EGRESS_ID)
    backend_url: str = take(agreed.BACKEND_URL._replace(default="", parse=_known_or_empty))
    backend_api_key: str = take(agreed.BACKEND_API_KEY)
    allow_http: bool = take(agreed.BACKEND_ALLOW_HTTP)
    audit: bool = take(agreed.BACKEND_AUDIT)
    health: dict[str, str] = setting("PIPELINE_HEALTH", HEALTH, health_urls, "")
    mark_max_age_s: float = take(agreed.MARK_MAX_AGE)
    oi_max_age_s: float = take(agreed.OI_MAX_AGE)
    verified_max_age_s: float = take(agreed.VERIFIED_MAX_AGE)
    max_interval_s: float = take(agreed.MAX_INTERVAL)
    enter_quote: float = take(agreed.ENTER_QUOTE)
    exit_quote: float = take(agreed.EXIT_QUOTE)
    history_path: str = take(agreed.HISTORY_PATH)
    venues: str = take(agreed.VENUES)

    @property
    def key_may_travel(self) -> bool:
        url = urlsplit(self.backend_url)
        return url.scheme == "https" or url.hostname in agreed.LOOPBACK or self.allow_http

    @property
    def egress(self) -> str:
        return agreed.egress(self.egress_id, self.proxy, self.host_id)

    @property
    def redis_shown(self) -> str:
        """Where Redis is, without user, password and options."""
        if sentinel.is_behind(self.redis_url):
            return sentinel.parse(self.redis_url).shown
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return url.path
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        return f"{host}:{url.port or 6379}{url.path}"


class Given(msgspec.Struct, frozen=True):
    """``source``: where the settings come from, for people.

    Of the file ``strangers`` are names that are no setting, each with the nearest that is, or ""; ``exported`` those
    that a shell alone would read, for the word before them.
    """

    settings: Settings
    source: str
    strangers: dict[str, str] = {}
    exported: tuple[str, ...] = ()


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
    """Names that a file sets though nobody reads them. The example it was made of mentions every setting of its day."""
    known = set(_MENTIONED.findall(content))
    if len(known) < len(declared(Settings)):
        return {}  # not made of the example: it may be another program's, too
    with contextlib.suppress(OSError):
        known |= set(_MENTIONED.findall(EXAMPLE.read_text(encoding="utf-8")))
    known |= {name for item in declared(Settings) for name in (item.name, *item.aliases)}
    odd = [name for name in parse_env(content) if name not in known]
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), "") for name in odd}


def find(environ: Mapping[str, str], env_file: Path | None = None) -> Given:
    """Settings from where they are found; `SettingsError` that names the bad one."""
    path = env_file or (
        None if environ.get("REDIS_URL") else next((p for p in (DEMO, INSTALLED) if _is_there(p)), None)
    )
    if path is None:
        return Given(load(Settings, environ), "the environment" if environ.get("REDIS_URL") else "defaults")
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        if path != env_file and isinstance(e, PermissionError):
            return Given(load(Settings, environ), f"defaults ({path} cannot be read by this user)")
        raise SettingsError(f"{path}: {getattr(e, 'strerror', None) or 'is not text'}") from None
    settings = load(Settings, parse_env(content))
    if not settings.backend_api_key:
        settings = replace(settings, backend_api_key=_key_beside(path))
    return Given(settings, str(path), strangers(content), tuple(_EXPORTED.findall(content)))


def _is_there(path: Path) -> bool:
    """Also in a folder that this user may not enter: who reads it then is told so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _key_beside(path: Path) -> str:
    try:
        return path.with_name(KEY_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
