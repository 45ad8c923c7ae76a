"""oi_keeper's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.rows = self.counter("pipeline_history_rows", "Rows added to the file")
        self.unlisted = self.counter(
            "pipeline_history_unlisted", "Readings of which nobody knows when their symbol was listed: not kept"
        )
        self.write_failures = self.counter("pipeline_history_write_failures", "Turns that the file did not take")
        self.redis_failures = self.counter("pipeline_redis_failures", "Turns that Redis did not take part in")
        self.last_row = self.gauge("pipeline_history_last_row_timestamp_seconds", "When the newest row was received")
        self.bytes = self.gauge("pipeline_history_file_bytes", "Size of the file, with what is not yet merged into it")
        self.backfilled = self.counter(
            "pipeline_history_backfilled", "Symbols whose statistic the exchange was asked for, by outcome", "outcome"
        )
        self.compared = self.gauge("pipeline_history_compared_series", "Series compared with the exchange's statistic")
        self.differing = self.gauge(
            "pipeline_history_differing_series", "Of them, those that differ from it by more than 0.5 per cent"
        )
        self.told = self.gauge("pipeline_history_told_timestamp_seconds", "When oi:changes was last written")
