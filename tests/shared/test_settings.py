"""What an operator may write, and what a start that refuses it says: everything needed, and no secret."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module

import httpx
import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st
from websockets.uri import parse_uri

from shared.agreed import METRICS_PORTS
from shared.errors import SettingsError
from shared.settings import (
    CommonSettings,
    choice,
    declared,
    file_path,
    help_text,
    host,
    integer,
    load,
    number,
    origin,
    redis_url,
    setting,
    switch,
    text,
    words,
)

PASSWORD = "hunter2"


@dataclass(frozen=True)
class Told(CommonSettings):
    key: str = setting("BACKEND_API_KEY", None, text, "the backend's key", aliases=("OLD_API_KEY",), secret=True)
    rest_url: str = setting("REST_URL", "https://fapi.binance.com", origin("https", "http"), "where to ask")
    limit: int = setting("LIMIT", "2000", integer(1, 2400), "requests a minute", aliases=("OLD_LIMIT",))
    pause_s: float = setting("PAUSE_SEC", "1.5", number(0.5, 60), "seconds between two")
    kept: str = setting("KEPT", "", file_path, "a file; empty: none")
    pin: int = setting("PIN", "1234", integer(0, 9999), "opens the door", secret=True)


def told(**environ: str) -> Told:
    return load(Told, {"BACKEND_API_KEY": "key", **environ})


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        told(**environ)
    return str(refused.value)


def test_an_empty_environment_is_the_documented_one() -> None:
    """.env.example and --help print these defaults; a service must start on them."""
    settings = told()

    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 0)
    assert (settings.log_level, settings.log_format) == ("info", "text")
    assert (settings.rest_url, settings.limit, settings.pause_s) == ("https://fapi.binance.com", 2000, 1.5)


@pytest.mark.parametrize(
    ("name", "why", "values"),
    [
        ("LIMIT", "not a whole number", ["fast", "12.5", "１２", "1_000"]),
        ("LIMIT", "must lie between 1 and 2400", ["0", "-5", "2401"]),
        ("OLD_LIMIT", "not a whole number", ["fast"]),  # the operator looks for the name he wrote
        ("PAUSE_SEC", "not a number", ["soon", "1_0", "１"]),
        ("PAUSE_SEC", "not a finite number", ["nan", "inf"]),
        ("PAUSE_SEC", "must lie between 0.5 and 60", ["0.4"]),
        ("METRICS_PORT", "must lie between 0 and 65535", ["65536"]),
        ("LOG_FORMAT", "must be one of text, json", ["xml"]),
        ("KEPT", "is a folder: must be the path of a file", ["/", "/var/lib/", ".."]),
    ],
)
def test_a_bad_value_is_named_with_its_setting(name: str, why: str, values: list[str]) -> None:
    """A typo must stop the start, and one line must be enough to find it; a silent default is found in production."""
    for value in values:
        assert refusal(**{name: value}) == f"{name}={value!r}: {why}"


def test_the_limits_themselves_are_allowed() -> None:
    assert (told(LIMIT="1").limit, told(LIMIT="2400").limit) == (1, 2400)
    assert (told(PAUSE_SEC="0.5").pause_s, told(PAUSE_SEC=" 60 ").pause_s) == (0.5, 60)


def test_a_value_of_any_length_makes_one_short_line() -> None:
    """A key file pasted into the wrong variable must not flood the journal."""
    line = refusal(LIMIT="9\n" * 10_000)

    assert line.startswith(r"LIMIT='9\n9\n")
    assert "\n" not in line
    assert len(line) < 200


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_an_empty_value_counts_as_not_set(blank: str) -> None:
    """An EnvironmentFile and docker compose both write ``NAME=`` for what is left to its default."""
    assert told(LIMIT=blank, REDIS_URL=blank) == told()
    assert refusal(BACKEND_API_KEY=blank) == "BACKEND_API_KEY is not set: the backend's key"


def test_an_old_name_still_works_and_the_new_one_wins() -> None:
    """An operator's existing file keeps working, and can be moved over one name at a time."""
    assert load(Told, {"OLD_API_KEY": "old"}).key == "old"
    assert load(Told, {"OLD_API_KEY": "old", "BACKEND_API_KEY": "new"}).key == "new"
    assert load(Told, {"OLD_API_KEY": "old", "BACKEND_API_KEY": ""}).key == "old"


def test_a_secret_never_shows() -> None:
    """Settings end up in logs and tracebacks by way of ``repr``; keys and passwords must not follow."""
    settings = told(BACKEND_API_KEY=PASSWORD, REDIS_URL=f"redis://user:{PASSWORD}@127.0.0.1/0")
    with pytest.raises(SettingsError) as refused:
        told(PIN=PASSWORD)

    assert settings.key == PASSWORD
    assert PASSWORD in settings.redis_url
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in str(settings)
    assert str(refused.value) == "PIN=(secret): not a whole number"
    assert (refused.value.__cause__, refused.value.__suppress_context__) == (None, True)  # a traceback prints causes


@pytest.mark.parametrize(
    "url",
    [
        *("rediss//:SECRET@host", "http://:SECRET@host", "redis://user:SECRET/2@host", "redis://:SECRET/2@host"),
        *("redis://user:SECRET@host:port", "redis://user:SECRET@host:99999", "redis://user:＃SECRET@host"),
        *("redis://[SECRET]:1", "redis://:SECRET@host/zero", "redis://:SECRET@host?socket_timeout=long"),
        *(
            f"redis+sentinel://:SECRET{rest}"
            for rest in (
                *("@h1:26379", "@h1:26379/a b", "@h1:26379/main/zero", "@h1:26379,/main", "@h1:port/main"),
                *("@h1:99999/main", "/x@h1/main", "#x@h1/main", "@a..b/main", "@h1/main?socket_timeout=long"),
            )
        ),
    ],
)
def test_a_bad_redis_url_is_refused_without_its_password(url: str) -> None:
    """The commonest broken URL is the one whose password was not percent-encoded."""
    line = refusal(REDIS_URL=url.replace("SECRET", PASSWORD))

    assert line.startswith("REDIS_URL=(secret): ")
    assert "\n" not in line
    assert PASSWORD not in line


@pytest.mark.parametrize("start", ["redis://host/0", "redis+sentinel://host/main"])
@pytest.mark.parametrize(
    "option",
    [
        *("ssl=true", "timeout=5", "ssl_cert_reqs=none", "protocol=9", "retry=3", "decode_responses=true"),
        *("encoding=x", "connection_class=x", "maint_notifications_config=x"),
    ],
)
def test_an_option_that_no_connection_takes_is_refused_at_the_start(start: str, option: str) -> None:
    """redis-py finds it when it connects: a traceback, or endless waiting for a Redis that is there."""
    assert refusal(REDIS_URL=f"{start}?{option}").startswith("REDIS_URL=(secret): ")


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.sampled_from(["redis", "rediss", "http", ""]))
def test_no_redis_url_whatever_shows_its_password(a: str, b: str, c: str, scheme: str) -> None:
    try:
        shown = repr(load(CommonSettings, {"REDIS_URL": f"{scheme}://{a}{PASSWORD}{b}@{c}"}))
    except SettingsError as e:
        shown = str(e)

    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "url",
    [
        *("redis://127.0.0.1:6379/0", "redis://127.0.0.1", "redis://[::1]:6379/0", "unix:///run/redis/redis.sock?db=1"),
        *("rediss://user:p%40ss@redis.example:6380/3", "redis://127.0.0.1:6379?db=2&socket_timeout=5"),
        "rediss://host?ssl_cert_reqs=none&ssl_ca_certs=/x&client_name=a&protocol=3",
        "rediss+sentinel://h1,h2/main/2?ssl_cert_reqs=none&sentinel_password=x",
    ],
)
def test_redis_urls_of_every_kind_are_kept_as_written(url: str) -> None:
    """A managed Redis, a socket, a database other than 0: growing past one machine is a matter of this URL."""
    assert redis_url(url) == url


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://fapi.binance.com", "https://fapi.binance.com"),
        ("https://fapi.binance.com/", "https://fapi.binance.com"),
        ("http://127.0.0.1:18090", "http://127.0.0.1:18090"),
        ("HTTPS://fapi.binance.com", "https://fapi.binance.com"),
        ("http://[::1]:18090", "http://[::1]:18090"),
    ],
)
def test_an_origin_is_kept_without_a_trailing_slash(value: str, kept: str) -> None:
    """The service adds a path that starts with a slash; a doubled one is answered with 404."""
    assert origin("https", "http")(value) == kept


@pytest.mark.parametrize(
    "value",
    [
        *("fapi.binance.com", "ftp://fapi.binance.com", "wss://fapi.binance.com", "https://", "https:///fapi"),
        *(f"https://fapi.binance.com{rest}" for rest in ("/fapi/v1", "?x=1", "#x", ":port", ":65536")),
        *(f"https://{user}@fapi.binance.com" for user in ("user", "user:word", ":word", "")),
        "https://fapi binance.com",
    ],
)
def test_what_is_not_an_origin_is_refused(value: str) -> None:
    """A path would be doubled, a user would be printed by every log line that names the address."""
    with pytest.raises(ValueError):
        origin("https", "http")(value)


@pytest.mark.parametrize(
    "value",
    [
        f"https://user:{PASSWORD}@fapi.binance.com",
        f"https://:{PASSWORD}@fapi.binance.com",
        f"https://user:{PASSWORD}/1@fapi.binance.com",
        f"user:{PASSWORD}@fapi.binance.com",
        f"https://user:＃{PASSWORD}@fapi.binance.com",
    ],
)
def test_a_password_in_a_url_that_is_no_secret_is_not_shown_either(value: str) -> None:
    """The setting is public, what somebody wrote into it is not."""
    line = refusal(REST_URL=value)

    assert line.startswith("REST_URL=")
    assert "@fapi.binance.com" in line
    assert PASSWORD not in line


def test_a_word_that_is_none_of_those_allowed_is_answered_with_them() -> None:
    assert refusal(LOG_FORMAT="jsno") == "LOG_FORMAT='jsno': must be one of text, json"
    assert choice("text", "json")("JSON") == "json"


def test_a_switch_reads_the_usual_words_and_refuses_others() -> None:
    """``BACKEND_AUDIT=disabled`` read as "on", or as "off", would be a guess about safety."""
    assert [switch(value) for value in ("on", "1", "TRUE", "yes")] == [True] * 4
    assert [switch(value) for value in ("off", "0", "false", "No")] == [False] * 4
    with pytest.raises(ValueError, match="must be one of"):
        switch("disabled")


def test_words_are_a_set_of_known_names() -> None:
    types = words("PERPETUAL", "TRADIFI_PERPETUAL")

    assert types("perpetual, TRADIFI_PERPETUAL,") == {"PERPETUAL", "TRADIFI_PERPETUAL"}
    with pytest.raises(ValueError, match=r"^PERPETUALS is not of PERPETUAL, TRADIFI_PERPETUAL$"):
        types("PERPETUAL,PERPETUALS")
    with pytest.raises(ValueError, match=r"^nothing is not of"):
        types(",")


def test_help_lists_every_setting_with_its_default_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """--help is pasted into tickets; it tells what can be set, not what is set here."""
    monkeypatch.setenv("BACKEND_API_KEY", PASSWORD)
    monkeypatch.setenv("REDIS_URL", f"redis://:{PASSWORD}@host")

    shown = help_text("told", "A service.", Told)

    for f in fields(Told):
        item = f.metadata["setting"]
        default = "required" if item.default is None else f"default {item.default or 'empty'}"
        assert f"  {item.name}\n      {item.about} ({default})" in shown
    assert shown.startswith("usage: python -m services.told\n")
    assert PASSWORD not in shown


@pytest.mark.parametrize("bad", ["127..0.0.1", "a..b", ".example", "a" * 64 + ".example", "a b", "host/path", "\ud800"])
def test_a_host_that_cannot_be_one_is_refused_at_the_start(bad: str) -> None:
    """The resolver raises UnicodeError for most of them: a traceback at each start, for a slip of the finger."""
    with pytest.raises(SettingsError, match=r"METRICS_HOST=.*is no host name"):
        load(CommonSettings, {"METRICS_HOST": bad})


EVERY_SETTINGS = {
    name: import_module(f"services.{name}.settings" if name in METRICS_PORTS else f"{name}.settings").Settings
    for name in (*METRICS_PORTS, "cli")
}
ADDRESSES = [
    (name, item.name)
    for name, settings in EVERY_SETTINGS.items()
    for item in declared(settings)
    if item.name.endswith(("_URL", "_HOST", "_PROXY", "_HEALTH"))
]


@pytest.mark.parametrize("host", ["127..0.0.1", "a" * 64 + ".example"])
@pytest.mark.parametrize(("service", "name"), ADDRESSES)
def test_every_setting_that_holds_an_address_refuses_a_name_that_cannot_be_one(
    service: str, name: str, host: str
) -> None:
    item = next(item for item in declared(EVERY_SETTINGS[service]) if item.name == name)
    schemes = {"REDIS_URL": "redis://", "BINANCE_WS_URL": "wss://", "PIPELINE_HEALTH": "publisher=http://"}
    scheme = "" if name.endswith("_HOST") else schemes.get(name, "http://")
    value = f"{scheme}{host}:1{'/healthz' if name == 'PIPELINE_HEALTH' else ''}" if scheme else host

    with pytest.raises(ValueError, match="is no host name"):
        item.parse(value)
    assert item.parse(value.replace(host, "name.example"))


def test_no_address_is_left_out_of_that() -> None:
    names = {name for _, name in ADDRESSES}
    assert names == {"REDIS_URL", "METRICS_HOST", "FUNDING_API_HOST", "BACKEND_URL", "BINANCE_WS_URL",
                     "BINANCE_REST_URL", "BINANCE_PROXY", "PIPELINE_HEALTH"}  # fmt: skip


HOSTS = st.text("ab1.-_:%\\é。\u200b\u00ad\x7fß１", max_size=12) | st.text(max_size=80) | st.ip_addresses().map(str)


@given(HOSTS | st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){3}\Z"))
def test_whatever_passes_for_a_host_can_be_asked_for(value: str) -> None:
    try:
        kept = host(value)
    except ValueError:
        return
    kept.encode("idna")
    where = f"[{kept}]" if ":" in kept else kept
    for client in (httpx.URL, yarl.URL, parse_uri):
        client(f"ws://{where}:1/x")


@pytest.mark.parametrize(
    "bad",
    ["10.0.0.256", "fapi.binance.com\u200b", "bücher.example", "fapi\\binance.com", "host:1", "a\x7fb", ""],
)
def test_what_only_a_client_would_refuse_is_refused_at_the_start(bad: str) -> None:
    """A slip of the finger, or a pasted character, ended services with a traceback, and showed a proxy's password."""
    with pytest.raises(ValueError, match="is no host name"):
        host(bad)


@pytest.mark.parametrize(
    "good", ["localhost", "0.0.0.0", "::", "::1", "fe80::1%eth0", "redis_1", "xn--bcher-kva.example."]
)
def test_a_host_is_taken_as_it_is_written(good: str) -> None:
    assert host(good) == good
