"""One run as a table for people (Markdown, so that it can stand in a document as it is) and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.peer import BARE, PEERS
from bench.results import OURS, Results
from bench.rows import ROWS, Row

HEAD = ("what", "unit", OURS, *(peer.name for peer in PEERS), BARE.name, "best peer : ours", "to reach", "met")


def shown(value: float | None, unit: str) -> str:
    """Three digits that count; counts stay whole."""
    if value is None:
        return ""
    if not unit:
        return f"{value:.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cells(results: Results, row: Row) -> tuple[str, ...]:
    figures, met, ratio = results.figures[row.key], results.met(row), results.ratio(row)
    return (
        row.what,
        row.unit,
        *(shown(figures.get(who), row.unit) for who in (OURS, *(peer.name for peer in PEERS), BARE.name)),
        "" if ratio is None else f"{ratio:.2g}",
        f"≤ {row.reach:g}",
        {True: "yes", False: "**no**", None: "not measured"}[met],
    )


def markdown(results: Results, rows: Sequence[Row] = ROWS) -> str:
    lines = [HEAD, *(cells(results, row) for row in rows if results.figures[row.key])]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    text = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines]
    return "\n".join([text[0], f"| {' | '.join('-' * width for width in widths)} |", *text[1:]])


def remarks(results: Results) -> str:
    """What was not measured and why, and the further figures."""
    lines = [f"- not measured: {what}: {why}" for what, why in results.missing.items()]
    return "\n".join([*lines, *(f"- {name}: {value}" for name, value in results.notes.items())])


def about(machine: dict[str, Any], results: Results) -> str:
    libraries = ", ".join(f"{name} {found}" for name, found in {**machine["libraries"], **results.versions}.items())
    return (
        f"{machine['date']}, commit {machine['commit']}, {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['system']}, Python {machine['python']}, Node {machine['node']}, {machine['redis']}; {libraries}; "
        f"load before the run {machine['load before']}"
    )


def as_json(machine: dict[str, Any], results: Results, took_s: float) -> str:
    rows = [
        {**asdict(row), "figures": results.figures[row.key], "ratio": results.ratio(row), "met": results.met(row)}
        for row in ROWS
    ]
    about = {"machine": machine, "peers": results.versions, "tookS": round(took_s, 1)}
    document = {**about, "rows": rows, "notMeasured": results.missing, "notes": results.notes}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
