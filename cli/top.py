"""``oi top``: reads Redis every other second, draws when something changed or a key was pressed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

from redis.asyncio import Redis
from rich.console import Console
from rich.live import Live

from cli.history import History
from cli.settings import Given
from cli.show import UNKNOWN
from cli.state import read
from cli.status import Status, status
from cli.table import Row, Screen, View, chosen, page, press, rows, spark_width
from shared.clock import SystemClock, iso
from shared.errors import Transient

READ_EVERY_S = 2.0
KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[5~": "pgup",
    "\x1b[6~": "pgdn",
    "\x1b[H": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1b[4~": "end",
    "\x1b": "esc",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "back",
    "\x08": "back",
}


class Latest:
    """What is known of the pipeline, kept current. A Redis that is away leaves the last rows, and says so."""

    def __init__(self, redis: Redis, given: Given) -> None:
        self._redis = redis
        self._given = given
        self.history = History()
        self._loaded = False
        self.rows: list[Row] = []
        self.status = Status(UNKNOWN, iso(SystemClock().now_ms()), given.source, [])
        self.note = ""

    async def look(self, width: int) -> None:
        try:
            seen = await read(self._redis, egress=self._given.settings.egress)
            if not self._loaded:
                await self.history.load(self._redis, seen.now_ms)
                self._loaded = True
        except Transient as e:
            self.note = f"no data since {self.status.at[11:19]} UTC: {e}"
            return
        self.history.add(reversed(seen.sweeps))
        self.rows = rows(seen, self._given.settings, self.history, spark_width(width))
        self.status = status(seen, self._given.settings, self._given.source)
        self.note = ""


async def once(latest: Latest, console: Console) -> None:
    await latest.look(console.width)
    console.print(Screen(latest.rows, View(), latest.status, latest.note))


async def live(latest: Latest, console: Console) -> None:
    """Until the person leaves."""
    view = View()
    with Live(console=console, screen=True, auto_refresh=False) as screen:
        async with keys() as pressed:
            while not view.left:
                await latest.look(console.width)
                deadline_s = asyncio.get_running_loop().time() + READ_EVERY_S
                view = await _until(deadline_s, view, pressed, latest, screen)


async def _until(
    deadline_s: float, view: View, pressed: asyncio.Queue[list[str]], latest: Latest, screen: Live
) -> View:
    """Draw, and draw again when keys were pressed, until it is time to read anew."""
    while not view.left:
        screen.update(Screen(latest.rows, view, latest.status, latest.note), refresh=True)
        try:
            async with asyncio.timeout_at(deadline_s):
                keys = await pressed.get()
        except TimeoutError:
            break
        for key in keys:
            view = press(view, key, page(screen.console.height), len(chosen(latest.rows, view)))
    return view


@contextlib.asynccontextmanager
async def keys() -> AsyncIterator[asyncio.Queue[list[str]]]:
    """Keys as they are pressed, by name; the terminal is put back as it was, whatever happens."""
    queue: asyncio.Queue[list[str]] = asyncio.Queue(64)
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()

    def come() -> None:
        pressed = [*split(os.read(fd, 256).decode(errors="ignore"))]
        if not queue.full():
            queue.put_nowait(pressed)

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    loop.add_reader(fd, come)
    loop.add_signal_handler(signal.SIGCONT, tty.setcbreak, fd)  # after Ctrl-Z the shell has set it otherwise
    loop.add_signal_handler(signal.SIGTERM, queue.put_nowait, ["esc", "q"])
    try:
        yield queue
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def split(typed: str) -> Iterator[str]:
    """Names of the keys in what came from the terminal; a sequence that is not known is dropped whole."""
    while typed:
        found = next((code for code in sorted(KEYS, key=len, reverse=True) if typed.startswith(code)), typed[0])
        if found == "\x1b" and typed[1:2] in {"[", "O"}:
            end = next((n for n, c in enumerate(typed[2:], 3) if c.isalpha() or c == "~"), len(typed))
            typed = typed[end:]
            continue
        yield KEYS.get(found, found)
        typed = typed[len(found) :]
