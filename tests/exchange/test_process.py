"""The process itself: how it starts, what it says of bad options, how it pings, ages and ends."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from dev.exchange.__main__ import main
from tests.exchange.conftest import Exchange


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """One that ends by itself needs no process of its own."""

    def begin(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["dev.exchange", *options])
        return main()

    return begin


def test_sigterm_ends_it_at_once_though_clients_are_connected() -> None:
    exchange = Exchange()
    with exchange.stream("/market/stream?streams=!markPrice@arr@1s") as ws:
        ws.recv(timeout=30)
        assert exchange.close() == 0


def test_help_names_every_option_and_ends_well(start: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        start("--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--port", "--seed-from", "--ban-after", "--clock-in-values"))


def test_a_bad_seed_file_stops_the_start_by_name(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "no.json"
    assert start("--port", "0", "--seed-from", str(missing)) == 78
    assert str(missing) in capsys.readouterr().err


def test_a_taken_port_is_said_so(start: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert start("--port", port) == 1
    assert port in capsys.readouterr().err


@pytest.fixture(scope="module")
def hasty() -> Iterator[Exchange]:
    """A stand-in whose pings, patience and days are short."""
    exchange = Exchange("--ping-s", "0.2", "--pong-timeout-s", "0.5", "--lifetime-s", "1.5", "--clock-rate", "6")
    yield exchange
    exchange.close()


def test_server_pings_carry_the_time_and_a_client_without_pongs_is_cut(hasty: Exchange) -> None:
    payloads: list[bytes] = []
    with hasty.stream("/market/ws") as ws:
        answer = ws.protocol.recv_frame

        def watch(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                payloads.append(bytes(frame.data))  # and no pong
            else:
                answer(frame)

        ws.protocol.recv_frame = watch  # type: ignore[method-assign]
        begun = time.time()
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=30)
    assert closed.value.rcvd is None, "cut, without a close frame"
    assert payloads
    assert all(abs(int(payload) / 1000 - begun) < 60 for payload in payloads)


def test_a_connection_that_pongs_lives_until_its_day_is_over(hasty: Exchange) -> None:
    begun = time.monotonic()
    with hasty.stream("/market/ws") as ws, pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert time.monotonic() - begun > 1.4
