"""funding_api's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        # route: as declared, such as /funding/{symbol}; "other" for what no route matches
        self.requests = self.counter(
            "pipeline_api_requests", "Requests answered, by route and status", "route", "status"
        )
        self.duration = self.histogram(
            "pipeline_api_request_seconds",
            "From a request read to its answer ready, by route",
            "route",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        )
        self.last_read = self.gauge("pipeline_api_snapshot_timestamp_seconds", "When Redis was last read")
        self.read_failures = self.counter("pipeline_api_snapshot_failures", "Reads that Redis did not answer")
        self.state_file = self.gauge("pipeline_state_file_timestamp_seconds", "When STATE_FILE was last replaced")
