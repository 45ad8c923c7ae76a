"""The life of a service as its operator sees it: a real process, its output, its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from dev.processes import Child
from dev.redis_server import free_port
from tests.redis_servers import ScriptedRedis
from tests.shared import tiny_service
from tests.shared.tiny_service import LOOKS, ORDERS
from tests.waiting import eventually

PASSWORD = "correct-horse"
KEY = "battery-staple"
patiently = partial(eventually, within_s=30)  # a start is a second of CPU, on a busy machine many of the clock
COMMAND = [sys.executable, "-m", "tests.shared.tiny_service"]


def environment(**settings: str) -> dict[str, str]:
    """Nothing of the developer's own shell but what Python needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "METRICS_PORT": "0", "TINY_KEY": KEY, **settings}


class Running(Child):
    """A tiny service that runs, and what it has printed so far."""

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    async def origin(self) -> str:
        """Where it serves, by its own "started" line, in either form."""

        def told() -> str:
            found = re.findall(r"http://127\.0\.0\.1:[0-9]+", self.said)
            return found[-1] if found else ""

        return await patiently(told)

    async def ended(self, told: signal.Signals | None = None) -> int:
        """Its exit status, once it has ended: by itself, or by a signal that it is sent now."""
        if told:
            self.signal(told)
        await patiently(lambda: self.status() is not None)
        status = self.status()
        assert status is not None
        return status


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, tiny_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start tiny services; whatever a test leaves running is killed, and none may have printed a secret."""
    started: list[Running] = []
    monkeypatch.setattr(os, "environ", environment(REDIS_URL=tiny_redis_url))

    def make(command: list[str] = COMMAND, **settings: str) -> Running:
        started.append(Running("tiny", command, settings, tmp_path / str(len(started))))
        started[-1].start()
        return started[-1]

    yield make
    for service in started:
        service.kill()
        assert PASSWORD not in service.said
        assert KEY not in service.said


@pytest.fixture
async def tiny_redis_url(redis: Redis, redis_url: str) -> AsyncIterator[str]:
    """The tests' Redis, entered with a user and a password."""
    await redis.execute_command("ACL", "SETUSER", "tiny", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield redis_url.replace("redis://", f"redis://tiny:{PASSWORD}@")
    await redis.execute_command("ACL", "DELUSER", "tiny")


async def answer(url: str) -> tuple[int, str, str]:
    """Status, content type and text."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.content_type, await response.text()


async def healthz(origin: str) -> tuple[int, dict[str, Any]]:
    status, _, text = await answer(f"{origin}/healthz")
    return status, json.loads(text)


def outcome(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> int:
    """The exit status of a run that ends before its loop begins: here, without a process."""
    monkeypatch.setattr(sys, "argv", ["tiny", *arguments])
    monkeypatch.setattr(os, "environ", environment(**settings))
    return tiny_service.main()


def test_a_bad_setting_ends_the_start_with_78_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """78 tells systemd not to try again; the one line must be enough to mend it."""
    assert outcome(monkeypatch, TINY_PACE_SEC="fast") == 78
    assert capsys.readouterr() == ("", "tiny: TINY_PACE_SEC='fast': not a number\n")


def test_help_lists_the_settings_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the settings are broken, which is when it is read; and where the output cannot write USDⓈ-M."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)

    assert outcome(monkeypatch, "--help", TINY_PACE_SEC="fast", REDIS_URL=f"redis://:{PASSWORD}@host") == 0

    out.seek(0)
    shown = out.read()
    assert r"a name, to be seen on \u24c8creen" in shown
    assert PASSWORD not in shown
    assert KEY not in shown


async def test_a_service_lives_is_asked_and_stops_when_told(start: Start, redis: Redis) -> None:
    """One life from start to Ctrl-C: monitors, the heartbeat and the exit status tell the same story."""
    service = start()
    origin = await service.origin()

    before = await healthz(origin)
    await redis.set(ORDERS, "work")

    async def healthy() -> dict[str, Any] | None:
        status, body = await healthz(origin)
        return body if status == 200 else None

    after = await patiently(healthy)
    metrics = await answer(f"{origin}/metrics")
    beat = await patiently(lambda: redis.hgetall("oi:status:tiny"))
    status = await service.ended(signal.SIGINT)

    assert before[0] == 503
    assert {name: before[1][name] for name in ("service", "state", "lastSuccess")} == {
        "service": "tiny",
        "state": "starting",
        "lastSuccess": None,
    }
    assert after["state"] == "ok"
    assert after["detail"] == "one look at the orders"
    assert after["lastSuccess"].endswith("Z")
    assert int(after["looks"]) >= 1
    assert metrics[:2] == (200, "text/plain")
    assert "\npipeline_healthy 1.0\n" in metrics[2]
    assert "\nprocess_resident_memory_bytes " in metrics[2]
    assert beat[b"pid"] == str(service.pid).encode()
    assert beat[b"state"] in {b"starting", b"ok"}
    assert status == 0
    assert "Traceback" not in service.said


async def test_a_resolver_that_does_not_answer_keeps_nobody_from_stopping_it(start: Start, tmp_path: Path) -> None:
    """Names are looked up in a thread, for which Python would wait at the end."""
    asked = tmp_path / "asked"
    slow = f"""
import pathlib, socket, sys, time
from shared.runner import run
from tests.shared import tiny_service
def never(host, *_, **__):
    pathlib.Path({str(asked)!r}).write_text(host)
    time.sleep(300)
socket.getaddrinfo = never
sys.exit(run("tiny", "", tiny_service.Settings, tiny_service.serve, limit_s=lambda _: 5.0))
"""
    service = start([sys.executable, "-c", slow], METRICS_HOST="monitored.test")
    await patiently(asked.exists)

    assert await service.ended(signal.SIGTERM) == 0
    assert "stopped service=tiny signal=SIGTERM" in service.said


async def test_a_thread_that_waits_for_work_keeps_nobody_from_beginning_anew(start: Start, redis: Redis) -> None:
    """oi_keeper has one for its file: when its work was moved its process ended, and the host had no standby."""
    threaded = """
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from shared.runner import THREADS, run
from tests.shared import tiny_service
aside = ThreadPoolExecutor(1, thread_name_prefix=THREADS)
aside.submit(int)
sys.exit(run("tiny", "", tiny_service.Settings, tiny_service.serve, limit_s=lambda _: 5.0, alone="cold"))
"""
    service = start([sys.executable, "-c", threaded], HOST_ID="host-a")
    await patiently(lambda: redis.exists("oi:lease:tiny"))
    asked = {"asked": str(time.time_ns() // 1_000_000), "of": "host-a", "because": "asked"}
    await redis.hset("oi:handover:tiny", mapping=asked)

    assert await patiently(lambda: service.said.count(f"started service=tiny pid={service.pid} ") == 2)
    assert service.status() is None


async def test_redis_away_is_a_state_and_not_an_end(start: Start) -> None:
    """Any order of starting works; the reason stands where monitors look; and it still stops when told."""
    service = start(REDIS_URL=f"redis://tiny:{PASSWORD}@127.0.0.1:{free_port()}/0")
    origin = await service.origin()

    async def told() -> bool:
        status, body = await healthz(origin)
        return status == 503 and body["state"] == "starting" and "Redis: ConnectionError" in body["detail"]

    assert await patiently(told)
    assert service.status() is None
    host, port = origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))  # a monitor that keeps its connection open
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 503 " in await reader.readline()

    assert await service.ended(signal.SIGTERM) == 0
    writer.close()


async def test_a_wrong_password_is_a_reason_and_is_not_printed(start: Start, redis_url: str) -> None:
    service = start(REDIS_URL=redis_url.replace("redis://", f"redis://tiny:not-{PASSWORD}@"), LOG_LEVEL="debug")
    origin = await service.origin()

    async def told() -> bool:
        return "AuthenticationError" in (await healthz(origin))[1]["detail"]

    assert await patiently(told)  # that it was not printed is asserted where all of them end


async def test_a_redis_that_is_too_old_ends_the_start_with_78_and_one_line(start: Start) -> None:
    """Restarts would not make it younger."""
    async with ScriptedRedis({b"HELLO": b"-ERR unknown command `HELLO`\r\n"}, otherwise=b"+OK\r\n") as old:
        service = start(REDIS_URL=old.url)
        assert await service.ended() == 78

    _, line = service.said.splitlines()
    assert "REDIS_URL: Redis 5 or older is there, and 6.2 or newer is needed" in line
    assert "Traceback" not in service.said


async def test_a_service_whose_work_has_ended_ends_too(start: Start, redis: Redis) -> None:
    """A process that outlives its job looks alive to the supervisor, and nobody starts the job again."""
    await redis.set(ORDERS, "return")
    service = start()

    assert await service.ended() == 1
    assert service.said.splitlines()[-1] == "ERROR ended without being told to service=tiny"


async def test_a_busy_port_ends_the_start_with_one_line_that_names_it(start: Start) -> None:
    """The commonest mistake on a host where the old version still runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = start(METRICS_PORT=str(port))

        assert await service.ended() == 1

    (line,) = service.said.splitlines()
    assert f"METRICS_PORT={port}" in line
    assert "address already in use" in line.lower()


async def test_a_bug_ends_it_with_1_and_a_traceback_that_is_in_json_one_line(start: Start, redis: Redis) -> None:
    """systemd starts a clean process, and the traceback is all that is left of the old one; a log shipper that meets
    a plain line drops it.
    """
    service = start(LOG_FORMAT="json", LOG_LEVEL="debug")
    await service.origin()
    await redis.set(ORDERS, "bug")

    assert await service.ended() == 1

    lines = [json.loads(line) for line in service.said.splitlines()]
    assert [line["event"] for line in lines] == ["started", "settings read", "stopped by a bug"]
    assert {line["service"] for line in lines} == {"tiny"}
    assert lines[0]["pid"] == service.pid
    assert 'tiny_service.py", line' in lines[-1]["traceback"]
    assert "ZeroDivisionError: a bug on order" in lines[-1]["traceback"]


@pytest.mark.long
async def test_a_stopped_owner_wakes_as_a_standby(start: Start, redis: Redis) -> None:
    """Longer than its lease: the other works by then, and nothing that the first wrote meanwhile took effect."""
    await redis.set(ORDERS, "work")
    one = start(TINY_ALONE="yes", HOST_ID="host-a", TINY_PACE_SEC="0.005")
    await patiently(lambda: redis.exists(LOOKS))
    other = start(TINY_ALONE="yes", HOST_ID="host-b")

    async def stands_by(at: str, who: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError):  # while it begins anew
            status, body = await healthz(at)
            return status == 200 and body["detail"] == f"standby; {who} works"
        return False

    there = await other.origin()
    await patiently(lambda: stands_by(there, "host-a"))
    one.signal(signal.SIGSTOP)

    async def worked() -> bool:
        return await redis.lindex(LOOKS, -1) == b"host-b"

    await patiently(worked)
    one.signal(signal.SIGCONT)
    await patiently(lambda: "beginning anew as a standby" in one.said)
    await patiently(lambda: one.said.count("started service=tiny pid=") == 2)
    again = await one.origin()
    await patiently(lambda: stands_by(again, "host-b"))

    looks: Any = await redis.lrange(LOOKS, 0, -1)
    assert looks == sorted(looks)  # all of host-a, then all of host-b
    assert one.status() is None
    told = await redis.hgetall("oi:handover:tiny")
    assert told[b"cause"] == b"expired"
