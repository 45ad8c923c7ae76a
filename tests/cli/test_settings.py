"""Where `oi` finds what it is told, and what it must never repeat."""

from __future__ import annotations

import errno
import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import settings
from cli.settings import find, parse_env, strangers
from shared.errors import SettingsError
from tests.pipeline.harness import ROOT


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a demo and without an installation, until a test makes one."""
    monkeypatch.setattr(settings, "DEMO", tmp_path / "demo" / "env")
    monkeypatch.setattr(settings, "INSTALLED", tmp_path / "etc" / "oi.env")
    for folder in ("demo", "etc"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_one_source_is_taken_never_a_mixture_of_two(nowhere: Path) -> None:
    """A demo's backend with the Redis of production would explain numbers that nobody serves."""
    settings.INSTALLED.write_text("REDIS_URL=redis://installed/0\nBACKEND_URL=https://real.example\n")
    assert find({}).settings.redis_shown == "installed:6379/0"

    settings.DEMO.write_text("REDIS_URL=redis://demo:1/0\n")
    found = find({"BACKEND_URL": "https://of-the-shell.example"})
    assert (found.settings.redis_shown, found.settings.backend_url) == ("demo:1/0", "")

    found = find({"REDIS_URL": "redis://shell:2/0"})
    assert (found.settings.redis_shown, found.settings.backend_url) == ("shell:2/0", "")

    named = nowhere / "named.env"
    named.write_text("REDIS_URL='redis://named:3/0'\nBACKEND_URL=backend.example\n")
    found = find({"REDIS_URL": "redis://shell:2/0"}, named)
    assert (found.settings.redis_shown, found.settings.backend_url) == ("named:3/0", "https://backend.example")
    assert found.source == str(named)


def test_nothing_found_means_the_defaults(nowhere: Path) -> None:
    assert find({}).settings.redis_shown == "127.0.0.1:6379/0"
    assert find({}).source == "defaults"


def test_a_folder_that_this_user_may_not_enter_is_said(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = Path.stat, Path.read_text

    def forbidden(path: Path, *args: Any, of: Any, **options: Any) -> Any:
        if path == settings.INSTALLED:
            raise PermissionError(errno.EACCES, "Permission denied")
        return of(path, *args, **options)

    for name, of in zip(("stat", "read_text"), really, strict=True):
        monkeypatch.setattr(Path, name, functools.partialmethod(forbidden, of=of))

    assert find({}).source == f"defaults ({settings.INSTALLED} cannot be read by this user)"


def test_the_key_beside_the_installed_settings_is_used_and_never_shown(nowhere: Path) -> None:
    settings.INSTALLED.write_text("REDIS_URL=redis://:hidden-word@h/0\n")
    settings.INSTALLED.with_name("backend_api_key").write_text("the-key\n")

    found = find({})

    assert found.settings.backend_api_key == "the-key"
    assert "the-key" not in repr(found)
    assert "hidden-word" not in repr(found) + found.settings.redis_shown


@pytest.mark.parametrize(
    "line",
    [
        "REDIS_URL=http://:hidden-word@h",
        "MARK_MAX_AGE_SEC=soon",
        "PIPELINE_HEALTH=publisher",
        "PIPELINE_HEALTH=a=http://a..b/healthz",
        "BACKEND_URL=https://a..b",
    ],
)
def test_a_bad_setting_is_named_without_its_secret(nowhere: Path, line: str) -> None:
    settings.DEMO.write_text(line)
    with pytest.raises(SettingsError, match=line.partition("=")[0]) as caught:
        find({})
    assert "hidden-word" not in str(caught.value)


def test_a_file_that_was_named_and_cannot_be_read_is_an_error(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        find({}, nowhere / "missing.env")


OF_ITS_DAY = (ROOT / ".env.example").read_text().replace("#HISTORY_BACKFILL=on\n", "")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (OF_ITS_DAY + "BACKEND_ULR=https://x\nREDIS_URL=redis://h\n", {"BACKEND_ULR": "BACKEND_URL"}),
        ("BACKEND_ULR=https://x\n", {}),  # not made of the example: it may be another program's, too
        (OF_ITS_DAY + "HISTORY_BACKFILL=off\n", {}),  # it came with an upgrade, which overwrites no settings
        (
            (ROOT / ".env.example").read_text().replace("#HISTORY_BACKFILL=on", "HISTORY_BACKFILL=off"),
            {},
        ),  # uncommented
    ],
    ids=["mistyped", "not ours", "newer", "uncommented"],
)
def test_a_name_nobody_reads_is_noticed_with_the_one_that_was_meant(content: str, found: dict[str, str]) -> None:
    assert strangers(content) == found


def test_a_line_for_a_shell_is_noticed(nowhere: Path) -> None:
    """systemd and docker read no `export X=`: the setting would silently be the default."""
    settings.INSTALLED.write_text("export BACKEND_URL=https://b\n  export\tREDIS_URL = x\n# export A=1\nB=export C=1\n")
    assert find({}).exported == ("BACKEND_URL", "REDIS_URL")


def test_the_key_travels_as_the_publisher_lets_it() -> None:
    def may(**environ: str) -> bool:
        return find({"REDIS_URL": "redis://h", **environ}).settings.key_may_travel

    assert may(BACKEND_URL="https://b.example")
    assert may(BACKEND_URL="http://127.0.0.1:3001")
    assert not may(BACKEND_URL="http://b.example")
    assert may(BACKEND_URL="http://b.example", BACKEND_ALLOW_HTTP="1")


NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\n\r'\"", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Cs")))


@given(st.dictionaries(NAMES, VALUES))
def test_what_was_written_is_read_back(values: dict[str, str]) -> None:
    plain = "".join(f"# a comment\n{name}={value}\n" for name, value in values.items())
    quoted = "".join(f'  {name} = "{value}"\n; another\n' for name, value in values.items())
    assert parse_env(plain) == parse_env(quoted) == values


@given(st.text())
def test_any_text_can_be_read(content: str) -> None:
    assert all(name.isidentifier() for name in parse_env(content))
    assert strangers(content) == {}
