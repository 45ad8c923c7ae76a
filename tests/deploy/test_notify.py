"""What the service manager is told: READY after the job, WATCHDOG while there is progress, nothing that can hurt."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.health import HANG_S
from shared.notify import START_WITHIN_S, Notifier, message
from tests.fakes import FakeClock, service

ROOT = Path(__file__).resolve().parents[2]
MORE_TIME = START_WITHIN_S * 1_000_000


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's end of the socket, and NOTIFY_SOCKET's value for it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@oi-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.setblocking(False)
        yield listener, name


def test_a_message_arrives_whole_on_either_kind_of_socket(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager

    Notifier({"NOTIFY_SOCKET": name}).send(READY=1, STATUS="343 of 343 served – all of them")

    assert listener.recv(4096).decode() == "READY=1\nSTATUS=343 of 343 served – all of them"


def test_a_manager_that_does_not_read_costs_neither_time_nor_life(manager: tuple[socket.socket, str]) -> None:
    """PID 1 may be busy: the pipeline's work matters more than a line about it."""
    _, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})

    for _ in range(5000):
        notifier.send(WATCHDOG=1)  # a send that blocked would run into the test's time limit


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    Notifier(environ).send(READY=1)


def test_a_service_that_waits_is_given_time_but_is_not_ready(clock: FakeClock) -> None:
    """Redis may be away for hours at the start; being killed for it again and again would help nobody."""
    tested = service(clock)
    health = tested.health
    for _ in range(100):
        clock.advance(HANG_S)
        health.bad("waiting for Redis")
        assert message(tested) == {
            "STATUS": "starting: waiting for Redis",
            "WATCHDOG": 1,
            "EXTEND_TIMEOUT_USEC": MORE_TIME,
        }


@pytest.mark.parametrize(
    ("limit_s", "quiet_s", "silent_s"),
    [
        (5, 0, HANG_S),
        (300, 0, 600),  # a small weight budget can make one sweep last minutes: twice its limit
        (5, 3600, 3600 + HANG_S),  # the backend's Retry-After; a restart would forget it and ask again
    ],
)
def test_who_says_nothing_for_longer_than_its_work_may_take_loses_its_watchdog(
    clock: FakeClock, limit_s: float, quiet_s: float, silent_s: float
) -> None:
    tested = service(clock, limit_s=limit_s)
    tested.health.good("745 marks")
    if quiet_s:
        tested.health.quiet(quiet_s)
        tested.health.bad("said by another loop meanwhile")
    clock.advance(silent_s)
    at_the_limit = message(tested)
    clock.advance(0.001)

    assert "WATCHDOG" in at_the_limit
    assert "WATCHDOG" not in message(tested)


def test_a_service_that_hangs_before_its_first_success_gets_no_more_time(clock: FakeClock) -> None:
    tested = service(clock)
    clock.advance(HANG_S + 0.001)

    assert message(tested).keys() == {"STATUS"}


def test_status_is_one_line_whatever_the_cause_was(clock: FakeClock) -> None:
    """A second line would be read as another field."""
    tested = service(clock)
    health = tested.health
    health.bad("first\nREADY=1\r\nlast")

    assert message(tested)["STATUS"] == "starting: first READY=1 last"


SERVICE = """
import asyncio, os, sys, time
from shared.notify import Notifier
from shared.runner import run
from shared.settings import CommonSettings

async def serve(settings, service):
    said = Notifier(os.environ)
    await asyncio.sleep(0.5)  # so that it is told of before
    service.health.good("the job is done")
    await asyncio.sleep(1.2)
    said.send(LOOP="blocked")
    time.sleep(2.5)  # a call that blocks: the loop stands still, and so must the watchdog's food
    said.send(LOOP="free")
    service.health.good("and again")
    await asyncio.Event().wait()

sys.exit(run("blocked", "", CommonSettings, serve, limit_s=lambda _: 5))
"""


def test_a_process_whose_loop_is_blocked_falls_silent_and_one_that_ends_says_so(tmp_path: Path) -> None:
    """Redis is away throughout: that alone silences nothing."""
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "REDIS_URL": "redis://127.0.0.1:1/0", "METRICS_PORT": "0"}
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(env["NOTIFY_SOCKET"])
        listener.settimeout(30)
        process = subprocess.Popen([sys.executable, "-c", SERVICE], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
        while not told or "STOPPING" not in told[-1]:
            told.append(listener.recv(4096).decode())
            if "and again" in told[-1]:
                process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    blocked = told.index("LOOP=blocked")
    ready = [text for text in told if "READY=1" in text]
    assert "READY" not in told[0]
    assert ready[0] == "STATUS=ok: the job is done\nREADY=1\nWATCHDOG=1"
    assert told.index(ready[0]) < blocked
    assert told[blocked + 1] == "LOOP=free"
    assert "WATCHDOG=1" in told[blocked + 2]
    assert told[-1] == "STOPPING=1\nSTATUS=stopping: SIGTERM"
