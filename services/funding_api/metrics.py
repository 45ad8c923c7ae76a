"""funding_api's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(name, about, registry=registry)

        # route: as declared, such as /funding/{symbol}; "other" for what no route matches
        self.requests = counter("pipeline_api_requests", "Requests answered, by route and status", "route", "status")
        self.duration = Histogram(
            "pipeline_api_request_seconds",
            "From a request read to its answer ready, by route",
            ("route",),
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=registry,
        )
        self.read = Histogram(
            "pipeline_api_snapshot_read_seconds",
            "Time of one shared read of Redis",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2.5),
            registry=registry,
        )
        self.last_read = gauge("pipeline_api_snapshot_timestamp_seconds", "When Redis was last read")
        self.read_failures = counter("pipeline_api_snapshot_failures", "Reads that Redis did not answer")
        self.bad_rows = counter("pipeline_bad_rows", "What could not be trusted", "source", "reason")
        self.state_file = gauge("pipeline_state_file_timestamp_seconds", "When STATE_FILE was last replaced")
