"""Start and stop: one line when ready, one line when a setting is wrong, gone when told."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable

import pytest

from dev.node import require_node
from tests.backend.stand_in import SERVER, SETTINGS, Backend, row, start


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_one_line_says_where_it_is(start_backend: Callable[..., Backend], mode: str) -> None:
    backend = start_backend(CACHE_MODE=mode)

    assert backend.ready_line == f"backend stand-in on {backend.url} cache={mode}"
    assert backend.read()["data"] == {}


def test_sigterm_ends_it_at_once_whatever_is_open(start_backend: Callable[..., Backend]) -> None:
    backend = start_backend(ROW_DELAY_MS="50")
    with backend.events() as events:
        next(events)
        backend.fault("hang", route="read")
        with socket.create_connection(("127.0.0.1", backend.http.base_url.port), timeout=5) as idle:
            idle.sendall(b"GET /api/market/open-interest HTTP/1.1\r\nHost: x\r\n\r\n")
            backend.process.send_signal(signal.SIGTERM)
            backend.process.wait(timeout=4)  # Node by itself keeps an idle connection for five seconds
    assert backend.process.returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("CACHE_MODE", "append"),
        ("AS_OF", "now"),
        ("ALERTS_SESSION", "maybe"),
        ("EDGE_TTL_SEC", "-1"),
        ("BODY_LIMIT", "ten"),
        ("BODY_LIMIT", "0"),
        ("ROW_DELAY_MS", "-1"),
        ("ROW_DELAY_MS", "soon"),
        ("PIPELINE_HEALTH", "http://127.0.0.1:9101/healthz"),
        ("VENUES_FROM", "127.0.0.1:8888"),
        ("PIPELINE_HEALTH", "publisher=ftp://x"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str) -> None:
    process = start(**{name: value})

    out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (78, "")
    assert err.startswith(f"backend stand-in: {name}={value}: ")
    assert err.count("\n") == 1


def test_a_taken_port_is_named(backend: Backend) -> None:
    process = start(PORT=str(backend.http.base_url.port))

    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert err == f"backend stand-in: cannot listen on 127.0.0.1:{backend.http.base_url.port}: EADDRINUSE\n"


def test_help_names_every_setting() -> None:
    text = subprocess.run([require_node(), str(SERVER), "--help"], capture_output=True, text=True, check=True).stdout

    for name in SETTINGS:
        assert f"\n  {name} " in text


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /control HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n", b"HTTP/1.1 403 "),
        (b"POST /control HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", b""),  # leaves in mid-body
    ],
)
def test_broken_requests_do_not_end_it(backend: Backend, sent: bytes, answered: bytes) -> None:
    with socket.create_connection(("127.0.0.1", backend.http.base_url.port), timeout=5) as connection:
        connection.sendall(sent)
        if answered:
            assert connection.recv(1000).startswith(answered)

    assert backend.ingest([row()]).status_code == 200
