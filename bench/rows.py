"""What is measured, in which unit, and what it has to reach. One row of the table each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """``reach`` is the most it may be, in ``unit``; docs/performance.md says what the limits are made of."""

    key: str
    what: str
    unit: str
    reach: float


SERVICES = ("ws_daemon", "oi_poller", "publisher", "oi_alerter", "funding_api", "oi_keeper")

ROWS = (
    Row("sweep_cpu", "CPU of one sweep, 341 symbols, 50 ms latency", "s", 0.12),
    Row("sweep_wall", "wall time of that sweep", "s", 0.40),
    Row("feed_cpu_1", "CPU of ws_daemon per second of feed, one connection", "ms", 4.0),
    Row("feed_cpu_2", "the same, two connections", "ms", 6.0),
    Row("visible_p99", "mark frame sent to ws_daemon -> in Redis, p99", "ms", 5.0),
    Row("mark_age", "age of the mark in what the backend gets, median", "s", 0.8),
    Row("oi_age_median", "age of OI where it is served, median", "s", 4.7),
    Row("oi_age_worst", "age of OI where it is served, worst", "s", 9.7),
    Row("refused", "requests refused with 429 meanwhile", "", 0.0),
    Row("landed_posted", "sweep landed -> POST arrived, median", "ms", 15.0),
    Row("restart_ws_daemon", "kill -9 -> ws_daemon writes marks again", "s", 1.5),
    Row("restart_oi_poller", "kill -9 -> oi_poller begins a sweep that lands", "s", 2.0),
    Row("restart_publisher", "kill -9 -> publisher is verified again", "s", 1.5),
    *(Row(f"memory_{name}", f"resident memory of {name}", "MiB", 45.0) for name in SERVICES),
    Row("memory_month", "the same with a month in its file, the week asked for", "MiB", 45.0),
    Row("keeper_asking", "CPU of oi_keeper while it asks for the week before", "%", 1.0),
    Row("keeper_steady", "CPU of oi_keeper afterwards", "%", 1.0),
    Row("history_week", "/history of a month's file: a week of one symbol at 5 min, median", "ms", 20.0),
    Row("history_changes", "/changes of all symbols, median", "ms", 20.0),
    Row("tenfold_ws_daemon", "10 times the symbols: CPU of ws_daemon", "x", 11.0),
    Row("tenfold_oi_poller", "10 times the symbols: CPU of a sweep", "x", 11.0),
    Row("tenfold_publisher", "10 times the symbols: CPU of publisher a cycle", "x", 11.0),
)
BY_KEY = {row.key: row for row in ROWS}
