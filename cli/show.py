"""How states, ages and amounts look, the same in every command. Pure, but for `emit` and `console`.

Text from Redis or from outside is only ever shown as `Text`, never as markup.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

GOOD, DEGRADED, DOWN, UNKNOWN, OFF = "good", "degraded", "down", "unknown", "off"
EXIT = {GOOD: 0, OFF: 0, DEGRADED: 1, DOWN: 2, UNKNOWN: 3}
STYLE = {GOOD: "green", DEGRADED: "yellow", DOWN: "bold red", UNKNOWN: "magenta", OFF: "dim"}
DOT = {GOOD: "●", DEGRADED: "▲", DOWN: "■", UNKNOWN: "?", OFF: "○"}  # told apart without colour, too
NONE = "–"
ASCII = str.maketrans("●▲■○–Δ▁▂▃▄▅▆▇█▏▼←→↑↓", "*!#o-d.,-=+*%#|v<>^v")  # where a terminal knows no other


class Hop(msgspec.Struct, frozen=True, rename="camel"):
    """One line of a report. ``cause`` is one sentence, empty where nothing is wrong."""

    hop: str
    state: str
    age_s: float | None = None
    counts: str = ""
    cause: str = ""
    since: str | None = None  # ISO 8601, of the state


def console() -> Console:
    """A pipe is no reason to cut what a person would have to read."""
    return Console(highlight=False, width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 120)


def prepare_output() -> None:
    """A terminal of another encoding than UTF-8 shows what it can; who closed the output wants the status alone."""
    codecs.register_error("oi", _stand_in)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # to the end
    sys.stderr = sys.stderr or sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="oi")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """As wide as what it stands for, so that columns stay columns."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = error.object[error.start : error.end].translate(ASCII)
    return "".join(c if c.isascii() else "?" * max(1, cell_len(c)) for c in shown), error.end


def emit(document: Any, *, indent: int = 2) -> None:
    """One JSON document on stdout, always UTF-8; NaN cannot occur in it. ``indent`` 0: in one line."""
    body = msgspec.json.encode(document)
    sys.stdout.buffer.write((msgspec.json.format(body, indent=indent) if indent else body) + b"\n")
    sys.stdout.buffer.flush()


def age(seconds: float | None) -> str:
    """At most four characters wide, but for months."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86_400:.0f}d"


def money(value: float | None) -> str:
    """``7.66B``; at most six characters from a hundredth to quadrillions."""
    if value is None:
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= 0.9995 * size:  # what is rounded up to a thousand has the next unit
            return _three_digits(value / size) + unit
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def clock(iso_text: str | None) -> str:
    """``12:03:11`` (UTC) of an ISO instant."""
    return iso_text[11:19] if iso_text else NONE


def mark(state: str) -> Text:
    return Text(f"{DOT[state]} {state}", STYLE[state])


def plain_table() -> Table:
    """Columns of text under dim titles, without lines."""
    return Table(box=None, pad_edge=False, show_edge=False, header_style="dim")


def hop_table(hops: list[Hop]) -> Table:
    table = plain_table()
    table.add_column("hop", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("since", no_wrap=True)
    table.add_column("what", ratio=1, overflow="fold")
    for hop in hops:
        what = Text(hop.counts)
        if hop.cause:
            what = Text.assemble(what, "; " if hop.counts else "", (hop.cause, STYLE[hop.state]))
        table.add_row(Text(hop.hop), mark(hop.state), age(hop.age_s), clock(hop.since), what)
    return table


def say(*parts: RenderableType) -> None:
    out = console()
    for part in parts:
        out.print(part)


def report(json: bool, document: Any, *parts: RenderableType) -> None:
    """What a command found: the document for a program, else the parts for a person."""
    if json:
        emit(document)
    else:
        say(*parts)
