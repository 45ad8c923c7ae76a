"""What a service can be told: environment variables -> one frozen dataclass, checked at the start.

A service declares its settings once; loading, ``--help`` and ``.env.example`` all read that declaration. An empty
value counts as not set, because an EnvironmentFile and docker compose write it so.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

from redis.exceptions import RedisError

from shared import sentinel, store
from shared.errors import SettingsError

S = TypeVar("S")
_REDIS_OPTIONS = {  # those whose value can be text, and which leave answers as they are
    *("db", "username", "password", "client_name", "protocol", "max_connections", "health_check_interval"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "retry_on_timeout"),
    *("sentinel_username", "sentinel_password"),
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_FOUR_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
Parse = Callable[[str], Any]


class Setting(NamedTuple):
    name: str
    default: str | None  # as an operator would write it; None: must be set
    about: str
    parse: Parse
    aliases: tuple[str, ...] = ()
    secret: bool = False


def setting(
    name: str, default: str | None, parse: Parse, about: str, *, aliases: tuple[str, ...] = (), secret: bool = False
) -> Any:
    """Declare one field of a settings dataclass. A secret is left out of ``repr`` and of error texts."""
    return take(Setting(name, default, about, parse, aliases, secret))


def take(agreed: Setting) -> Any:
    """One field of a settings dataclass, by a declaration that others take too."""
    return field(repr=not agreed.secret, metadata={"setting": agreed})


def declared(settings: type[Any]) -> list[Setting]:
    return [f.metadata["setting"] for f in fields(settings)]


def load(settings: type[S], environ: Mapping[str, str]) -> S:
    """Read every declared setting, or raise `SettingsError` that names the bad one and its value."""
    return settings(**{f.name: _read(f.metadata["setting"], environ) for f in fields(settings)})  # type: ignore[arg-type]


def _read(wanted: Setting, environ: Mapping[str, str]) -> Any:
    for name in (wanted.name, *wanted.aliases):
        text = environ.get(name, "").strip()
        if text:
            return _parse(wanted, name, text)
    if wanted.default is None:
        raise SettingsError(f"{wanted.name} is not set: {wanted.about}")
    return _parse(wanted, wanted.name, wanted.default)


def _parse(wanted: Setting, name: str, text: str) -> Any:
    try:
        return wanted.parse(text)
    except ValueError as e:
        raise SettingsError(f"{name}={_shown(wanted, text)}: {e}") from None  # the cause could carry the secret


def _shown(wanted: Setting, text: str) -> str:
    """What an error may repeat: of a URL with a user or a password in it, only what stands behind them."""
    if wanted.secret:
        return "(secret)"
    _, at, behind = text.rpartition("@")
    return f"{f'(secret)@{behind}' if at else text!r:.100}"


def text(value: str) -> str:
    return value


def file_path(value: str) -> str:
    """Where a file stands, or is to stand; empty: nowhere."""
    if value and value.rpartition("/")[2] in {"", ".", ".."}:
        raise ValueError("is a folder: must be the path of a file")
    return value


def integer(low: int, high: int) -> Parse:
    def parse(value: str) -> int:
        if not (value.isascii() and value.removeprefix("-").isdigit()):
            raise ValueError("not a whole number")
        return _within(int(value), low, high)

    return parse


def number(low: float, high: float) -> Parse:
    def parse(value: str) -> float:
        try:
            parsed = float(value)
        except ValueError:
            raise ValueError("not a number") from None
        if not value.isascii() or "_" in value:  # float() reads full-width digits and 1_000
            raise ValueError("not a number")
        if not math.isfinite(parsed):
            raise ValueError("not a finite number")
        return _within(parsed, low, high)

    return parse


N = TypeVar("N", int, float)


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:
        raise ValueError(f"must lie between {low} and {high}")
    return value


def choice(*allowed: str) -> Parse:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value.lower()

    return parse


def switch(value: str) -> bool:
    on = choice("on", "off", "1", "0", "true", "false", "yes", "no")(value)
    return on in {"on", "1", "true", "yes"}


def words(*allowed: str) -> Parse:
    """Comma-separated names, each from ``allowed``, upper-cased."""

    def parse(value: str) -> frozenset[str]:
        names = frozenset(part.strip().upper() for part in value.split(",") if part.strip())
        if not names or not names <= set(allowed):
            unknown = ", ".join(sorted(names - set(allowed)))
            raise ValueError(f"{unknown or 'nothing'} is not of {', '.join(allowed)}")
        return names

    return parse


def origin(*schemes: str) -> Parse:
    """``scheme://host[:port]``, nothing behind it: the service adds the path."""

    def parse(value: str) -> str:
        url = parse_url(value, schemes)
        if url.path.strip("/") or url.query or url.fragment or "@" in url.netloc or " " in url.netloc:
            raise ValueError(f"must be an origin such as {schemes[0]}://host:port, without a path or a user")
        return f"{url.scheme}://{url.netloc}"

    return parse


def host(value: str) -> str:
    """A name or address, to listen on or to ask. What a resolver or a client would raise for it is refused here."""
    try:
        value.encode("idna")
        if ":" in value or _FOUR_NUMBERS.fullmatch(value):
            ipaddress.ip_address(value)
        elif not _NAME.fullmatch(value):
            raise ValueError
    except ValueError:
        raise ValueError(
            "is no host name: a part of it is empty or too long, or holds what none may hold; "
            "a name beyond ASCII is written in its xn-- form"
        ) from None
    return value


def redis_url(value: str) -> str:
    asked = parse_qsl(value.partition("?")[2], keep_blank_values=True)
    if not all(name in _REDIS_OPTIONS or name.startswith("ssl_") for name, _ in asked):
        # Not named: it may be a part of the password.
        raise ValueError("has an option, behind its ?, that is none of a connection")
    if sentinel.is_behind(value):
        for name, _ in sentinel.parse(value).hosts:
            host(name)
    else:
        url = parse_url(value, ("redis", "rediss", "unix", *sentinel.SCHEMES))
        database = url.path.strip("/")
        if url.scheme != "unix" and database and not database.isdigit():  # redis-py would take database 0 instead
            raise ValueError("its path must be the number of a database")
    try:
        store.connect(value).connection_pool.make_connection()  # type: ignore[no-untyped-call]  # it connects to nothing
    except (TypeError, RedisError):
        raise ValueError("has an option, behind its ?, that is not for its scheme, or not of this value") from None
    return value


def parse_url(value: str, schemes: tuple[str, ...]) -> Any:
    """Its own texts in place of urllib's, which quote what they dislike: the password, where that was not encoded."""
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:
        raise ValueError("is no URL: its host or port cannot be read") from None
    if url.scheme not in schemes:
        raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
    if url.scheme != "unix" and not url.hostname:
        raise ValueError("names no host")
    if url.hostname:
        host(url.hostname)
    return url


REDIS_URL = Setting("REDIS_URL", "redis://127.0.0.1:6379/0", "where the services meet", redis_url, secret=True)


def host_id(value: str) -> str:
    """One word that no other host has; empty: the host's name and the beginning of its machine id."""
    if not value:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            value = Path("/etc/machine-id").read_text(encoding="ascii").strip()[:6]
        value = f"{socket.gethostname() or 'host'}{'-' if value else ''}{value}"[-64:]
        return re.sub(r"[^A-Za-z0-9._-]", "-", value)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValueError("must be one word of letters, digits, dot, dash and underscore, 64 at most")
    return value


HOST_ID = Setting("HOST_ID", "", "this host's name among several; its own and its machine id where empty", host_id)


@dataclass(frozen=True)
class CommonSettings:
    """What every service is told."""

    redis_url: str = take(REDIS_URL)
    host_id: str = take(HOST_ID)
    metrics_host: str = setting("METRICS_HOST", "127.0.0.1", host, "address that serves /metrics and /healthz")
    metrics_port: int = setting("METRICS_PORT", "0", integer(0, 65535), "its port; 0 takes a free one")
    log_level: str = setting("LOG_LEVEL", "info", choice("debug", "info", "warning", "error"), "least level logged")
    log_format: str = setting("LOG_FORMAT", "text", choice("text", "json"), "text for people, json for machines")


def metrics_port(default: int) -> Any:
    """The one common setting whose default differs from service to service."""
    return setting("METRICS_PORT", str(default), integer(0, 65535), "port of /metrics and /healthz; 0 takes a free one")


def help_text(service: str, about: str, settings: type[Any]) -> str:
    """What ``--help`` prints."""
    lines = [f"usage: python -m services.{service}", "", about.strip(), "", "Settings, from the environment:", ""]
    for item in declared(settings):
        default = "required" if item.default is None else f"default {item.default or 'empty'}"
        lines.append(f"  {item.name}\n      {item.about} ({default})")
    return "\n".join(lines)
