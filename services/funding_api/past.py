"""Requests for the past -> answers: changes out of ``oi:changes``, rows out of the keeper's file, only read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from services.funding_api.answers import Answer
from services.funding_api.bodies import ChangeRow, ChangeRows, History, HistoryRow, Problem, Refusal, Since
from shared.changes import Change, Changes
from shared.clock import from_iso
from shared.errors import Refused, Transient
from shared.history.block import Row
from shared.history.file import DAY_MS, Series, file_faults, open_to_read, venues_path
from shared.history.read import rows_of, series_of
from shared.numbers import LATEST_MS, finite

STEPS_S = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
MOST_ROWS = 12_000  # 8 days of minutes


class Span(NamedTuple):
    from_ms: int
    to_ms: int
    step_s: int


def changes_body(told: Mapping[str, Changes]) -> ChangeRows:
    rows = [_change_row(symbol, told[symbol]) for symbol in sorted(told)]
    return ChangeRows(rows, len(rows))


def _change_row(symbol: str, told: Changes) -> ChangeRow:
    since = (_since(one) for one in (told.m5, told.m15, told.h1, told.h4, told.h24, told.d7))
    return ChangeRow(symbol, float(told.oi), told.at / 1000, *since)


def _since(told: Change | None) -> Since | None:
    return None if told is None else Since(told.change, told.price, told.age)


def span(query: Mapping[str, str], now_ms: int) -> Span:
    """``from``, ``to``: Unix seconds, or ISO 8601 with a zone; the last day where they are absent. ValueError else."""
    step = query.get("step", "5m")
    if step not in STEPS_S:
        raise ValueError(f"step must be one of {', '.join(STEPS_S)}")
    to_ms = _instant_ms("to", query["to"]) if "to" in query else now_ms
    from_ms = _instant_ms("from", query["from"]) if "from" in query else to_ms - DAY_MS
    if from_ms >= to_ms:
        raise ValueError("from must lie before to")
    if (to_ms - from_ms) // (STEPS_S[step] * 1000) > MOST_ROWS:
        raise ValueError(f"more than {MOST_ROWS} rows: take a wider step, or less time")
    return Span(from_ms, to_ms, STEPS_S[step])


def _instant_ms(name: str, text: str) -> int:
    try:
        ms = from_iso(text) if "T" in text else round(finite(text) * 1000)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} must be Unix seconds or ISO 8601 with a zone") from None
    if not 0 <= ms < LATEST_MS:
        raise ValueError(f"{name} must be Unix seconds before the year 2100")
    return ms


def place(path: str, asked: str) -> tuple[str, str]:
    """The file that has a symbol, and its name there: ``all:BTC`` and ``okx:BTC-USDT-SWAP`` are other venues'."""
    venue, colon, name = asked.partition(":")
    return (venues_path(path), f"{venue.lower()}:{name.upper()}") if colon else (path, asked.upper())


def history(path: str, symbol: str, wanted: Span) -> Answer:
    """The newest series of this name that had begun by then. Blocks while the file is read: for a thread."""
    try:
        with contextlib.closing(open_to_read(path)) as db, file_faults(path):
            found = [(n, series) for n, series in series_of(db, symbol) if series.onboard_ms < wanted.to_ms]
            if not found:
                return Answer(404, Refusal(Problem("Symbol not found", symbol=symbol)))
            number, series = found[0]
            rows = rows_of(db, number, wanted.from_ms, wanted.to_ms, wanted.step_s)
    except (Transient, Refused) as e:
        return Answer(503, Refusal(Problem("History unavailable", symbol=symbol, cause=str(e))))
    return Answer(200, _history_body(series, wanted, rows))


def _history_body(series: Series, wanted: Span, rows: list[Row]) -> History:
    told = [
        HistoryRow(
            row.received_ms / 1000,
            float(row.contracts),
            None if row.mark is None else float(row.mark),
            "seen" if row.ours else "exchange",
        )
        for row in rows
    ]
    limits = (wanted.from_ms / 1000, wanted.to_ms / 1000, wanted.step_s)
    return History(series.symbol, series.onboard_ms / 1000, *limits, told)
