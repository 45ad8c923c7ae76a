"""The results as a table for people."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tests.chaos.run import Result

HEAD = ("fault", "noticed s", "recovered s", "lost", "wrong", "during ban", "worst age s", "rows judged")


def _s(seconds: float | None, none: str) -> str:
    return none if seconds is None else f"{seconds:.1f}"


def cells(result: Result) -> tuple[str, ...]:
    nothing = "never" if result.fault.noticed else "—"
    return (
        result.fault.name,
        _s(result.notice_s, nothing),
        _s(result.recover_s, "never"),
        str(len(result.lost)),
        str(result.wrong),
        str(len(result.during_ban)),
        f"{result.worst_age_s:.1f}",
        str(result.judged),
    )


def line(result: Result) -> str:
    """What is printed as soon as a fault is over."""
    shown = "  ".join(f"{name} {value}" for name, value in zip(HEAD[1:-1], cells(result)[1:-1], strict=True))
    return f"{'ok  ' if not result.problems else 'FAIL'} {result.fault.name:<18} {shown}"


def table(results: Sequence[Result]) -> str:
    """Markdown, so that it can stand in a document as it is."""
    rows = [HEAD, *(cells(result) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    rule = f"| {' | '.join('-' * width for width in widths)} |"
    return "\n".join([lines[0], rule, *lines[1:]])


def summary(results: Sequence[Result], took_s: float) -> str:
    failed = sum(1 for result in results if result.problems)
    judged, wrong = (sum(getattr(result, name) for result in results) for name in ("judged", "wrong"))
    passed = f"{len(results) - failed} of {len(results)} faults passed in {took_s / 60:.1f} min"
    return f"{passed} on {os.cpu_count()} cores; {judged} rows judged, {wrong} wrong"
