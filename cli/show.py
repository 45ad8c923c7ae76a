"""How states, ages and amounts look, the same in every command. Pure, but for `emit` and `console`.

Text from Redis or from outside is only ever shown as `Text`, never as markup.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

GOOD, DEGRADED, DOWN, UNKNOWN, OFF = "good", "degraded", "down", "unknown", "off"
EXIT = {GOOD: 0, OFF: 0, DEGRADED: 1, DOWN: 2, UNKNOWN: 3}
STYLE = {GOOD: "green", DEGRADED: "yellow", DOWN: "bold red", UNKNOWN: "magenta", OFF: "dim"}
DOT = {GOOD: "●", DEGRADED: "▲", DOWN: "■", UNKNOWN: "?", OFF: "○"}  # told apart without colour, too
NONE = "–"


class Hop(msgspec.Struct, frozen=True, rename="camel"):
    """One line of a report. ``cause`` is one sentence, empty where nothing is wrong."""

    hop: str
    state: str
    age_s: float | None = None
    counts: str = ""
    since: str | None = None  # ISO 8601, of the state
    cause: str = ""


def console() -> Console:
    """A pipe is no reason to cut what a person would have to read."""
    return Console(highlight=False, width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 120)


def emit(document: Any) -> None:
    """One JSON document on stdout; NaN cannot occur in it."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


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
    """``7.66B``; at most six characters."""
    if value is None:
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}" if value >= 1e15 else f"{value / size:#.3g}".rstrip(".") + unit
    return f"{value:#.3g}".rstrip(".")


def clock(iso_text: str | None) -> str:
    """``12:03:11`` (UTC) of an ISO instant."""
    return iso_text[11:19] if iso_text else NONE


def mark(state: str) -> Text:
    return Text(f"{DOT[state]} {state}", STYLE[state])


def hop_table(hops: list[Hop], title: str = "hop") -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column(title, no_wrap=True)
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
