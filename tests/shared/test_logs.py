"""Log lines: one an event, whatever the world puts into the values."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.logs import _NOISY, EventLog, JsonFormatter, OncePer, TextFormatter, configure, no_line_lost
from tests.fakes import FakeClock

HOSTILE = st.text() | st.text(alphabet=' "=\\\n\r\t\0\x1b\x7f\x85\x9b\u2028\u2029\ud800aé币', max_size=30)


def line(formatter: logging.Formatter, event: str, *, level: int = logging.INFO, **facts: Any) -> str:
    record = logging.makeLogRecord(
        {"msg": event, "levelno": level, "levelname": logging.getLevelName(level), "facts": facts}
    )
    return formatter.format(record)


def text(event: str, **facts: Any) -> str:
    return line(TextFormatter(), event, **facts)


def as_json(event: str, **facts: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(line(JsonFormatter("ws_daemon"), event, **facts), parse_constant=pytest.fail)
    return parsed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *((343, "343"), (0.25, "0.25"), (2.0, "2"), (0.0001, "0"), (True, "True"), (None, "None"), ("", '""')),
        *((text, text) for text in ("ok", "币安人生USDT", "https://fapi.binance.com")),
        ("two words", '"two words"'),
        ('say "no"', r'"say \"no\""'),
        ("a=b", '"a=b"'),
        ("one\r\ntwo", r'"one\r\ntwo"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("next\u2028line", r'"next\u2028line"'),
    ],
    ids=ascii,
)
def test_a_value_reads_as_one_word_or_is_quoted(value: object, shown: str) -> None:
    """A body from outside must not be able to forge a second line, a second fact or a terminal command."""
    assert text("sweep landed", value=value) == f"sweep landed value={shown}"


@given(HOSTILE)
def test_no_value_breaks_out_of_its_place(value: str) -> None:
    shown = text("event", value=value, after=1)

    assert len(shown.splitlines()) == 1
    assert shown.isprintable()
    assert shown.encode()  # a lone surrogate would be lost in the stream, and its event with it
    assert shown.startswith("event value=")
    assert shown.endswith(" after=1")
    quoted = shown.removeprefix("event value=").removesuffix(" after=1")
    read = json.loads(quoted) if quoted.startswith('"') else quoted
    assert read == value[:300]


def test_a_very_long_value_is_cut() -> None:
    """A megabyte of HTML in place of JSON must not flood the journal, in either form."""
    body = "x" * 1_000_000

    assert text("bad body", body=body) == f"bad body body={'x' * 300}"
    assert as_json("bad body", body=body)["body"] == "x" * 300


def test_facts_keep_their_order_and_the_level_is_named_unless_usual() -> None:
    assert line(TextFormatter(), "sweep landed", symbols=343, failed=0) == "sweep landed symbols=343 failed=0"
    assert line(TextFormatter(), "stream lost", level=logging.WARNING) == "WARNING stream lost"


def test_a_json_line_carries_the_event_the_service_and_typed_facts() -> None:
    """Machines count and compare: a number must arrive as a number; and a line whose service or time was replaced by a
    fact is filed under something else.
    """
    facts = {"symbols": 343, "took_s": 0.9, "ok": True, "cause": None, "why": "two\nlines"}
    parsed = as_json("sweep landed", **facts, service="x", time="x")

    assert parsed.pop("time").endswith("Z")
    assert parsed == {"level": "info", "service": "ws_daemon", "event": "sweep landed", **facts}


@given(HOSTILE | st.floats() | st.integers() | st.binary() | st.lists(st.floats()))
def test_every_json_line_parses(value: object) -> None:
    """One line that does not parse stops a log shipper, or loses the line that mattered. NaN is no JSON."""
    shown = line(JsonFormatter("ws_daemon"), "event", value=value)

    assert shown.encode()
    assert len(shown.splitlines()) == 1
    assert json.loads(shown, parse_constant=pytest.fail)["event"] == "event"


def test_a_line_of_a_library_has_no_facts_and_is_printed_all_the_same() -> None:
    record = logging.makeLogRecord({"msg": "loop took %s s", "args": (3,), "levelno": 30, "levelname": "WARNING"})

    assert TextFormatter().format(record) == "WARNING loop took 3 s"
    assert json.loads(JsonFormatter("x").format(record))["event"] == "loop took 3 s"


@contextlib.contextmanager
def configured(level: str, form: str) -> Iterator[EventLog]:
    """A log as a service sets it up; the loggers of this process are given back as they were."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in _NOISY)]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    root.handlers = []  # configure() closes what it finds there
    try:
        configure("ws_daemon", level, form)
        yield EventLog("tests")
    finally:
        root.handlers = handlers
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)


def test_a_bug_is_told_with_its_traceback_and_in_json_still_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        with configured("info", form) as log:
            try:
                raise ZeroDivisionError("no good")
            except ZeroDivisionError:
                log.exception("stopped by a bug")

    *people, machine = capsys.readouterr().out.splitlines()
    assert people[0] == "ERROR stopped by a bug"
    assert people[1] == "Traceback (most recent call last):"
    assert people[-1] == "ZeroDivisionError: no good"
    assert json.loads(machine)["traceback"].endswith("ZeroDivisionError: no good")


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii"])
def test_no_line_is_lost_where_the_output_cannot_write_a_name(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Logging swallows what cannot be encoded, the whole line with it."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    no_line_lost(out)
    with configured("info", "text") as log:
        log.info("listed", symbol="币安人生USDT")

    out.seek(0)
    assert out.read() == "listed symbol=币安人生USDT\n".encode("ascii", "backslashreplace").decode()


def test_the_level_is_the_least_that_is_heard_and_of_libraries_only_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """httpx prints one line a request at INFO: 341 lines a sweep; at DEBUG websockets prints whole frames."""
    for level in ("debug", "error"):
        with configured(level, "text") as log:
            log.info(level)
            log.error(level)
            for library in ("httpx", "httpcore", "aiohttp", "websockets.client", "redis.asyncio", "asyncio"):
                logging.getLogger(library).info("HTTP Request: GET https://...")
            logging.getLogger("httpx").warning("something is wrong")

    heard = capsys.readouterr().out.splitlines()
    assert heard == ["debug", "ERROR debug", "WARNING something is wrong", "ERROR error", "WARNING something is wrong"]


def test_a_repeated_event_is_let_through_once_per_interval(clock: FakeClock) -> None:
    """Ten bad rows a second for an hour are one line a minute; the flood of one fault does not hide another's first."""
    once = OncePer(clock, every_s=60)

    assert [once.due("bad_row") for _ in range(5)] == [True, False, False, False, False]
    assert once.due("bad_frame")
    clock.advance(59.9)
    assert not once.due("bad_row")
    clock.advance(0.1)
    assert once.due("bad_row")
    assert once.due("bad_frame")
