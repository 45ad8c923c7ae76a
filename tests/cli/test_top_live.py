"""`oi top` in a terminal: drawn, obeying keys, and leaving the terminal as it was."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import sys
import termios
import time

import pytest
from redis.asyncio import Redis

from tests.cli.world import World
from tests.pipeline.harness import ROOT
from tests.waiting import eventually

WITHIN_S = 30.0


def until(fd: int, wanted: bytes, within_s: float = WITHIN_S) -> bytes:
    """What the terminal is sent up to and with ``wanted``."""
    os.set_blocking(fd, False)
    seen, deadline_s = b"", time.monotonic() + within_s
    while wanted not in seen:
        assert time.monotonic() < deadline_s, f"no {wanted!r} in {seen[-2000:]!r}"
        try:
            seen += os.read(fd, 65536)
        except BlockingIOError:
            time.sleep(0.02)
    return seen


@pytest.mark.long
@pytest.mark.parametrize(("rows", "columns", "ended"), [(24, 80, False), (60, 200, True)])
async def test_a_person_looks_filters_goes_away_comes_back_and_leaves(
    redis: Redis, redis_url: str, rows: int, columns: int, ended: bool
) -> None:
    """Away by Ctrl-Z: it was deaf then. ``ended`` by SIGTERM, which left the terminal as the screen needs it."""
    await World().write(redis)
    terminal, inner = os.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(inner)
    env = {"PATH": os.environ["PATH"], "REDIS_URL": redis_url, "TERM": "xterm-256color"}
    command = (sys.executable, "-m", "cli", "top")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdin=inner, stdout=inner)
    try:
        first = await asyncio.to_thread(until, terminal, b"quit")
        os.write(terminal, b"/eth\r")
        await asyncio.to_thread(until, terminal, b"/ETH")
        termios.tcsetattr(inner, termios.TCSANOW, before)  # as the shell does, when it has the terminal again
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: not termios.tcgetattr(inner)[3] & termios.ICANON)
        os.write(terminal, b"/sol")
        await asyncio.to_thread(until, terminal, b"/ETHSOL")
        process.terminate() if ended else os.write(terminal, b"\rq")
        left = await asyncio.to_thread(until, terminal, b"\x1b[?1049l")  # it cannot leave before it is read
        async with asyncio.timeout(WITHIN_S):
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        after = termios.tcgetattr(inner)
        os.close(terminal)
        os.close(inner)

    assert b"\x1b[?1049h" in first
    assert "龙虾USDT".encode() in first
    assert left
    assert (status, after) == (0, before)
