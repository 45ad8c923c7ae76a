"""ws_daemon's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(name, about, labels, registry=registry)

        # source: stream-1, stream-2, premiumIndex, ticker24h
        self.frames = counter("pipeline_frames", "Frames that held marks, by source", "source")
        self.last_frame = gauge("pipeline_last_frame_timestamp_seconds", "When marks last came, by source", "source")
        self.rows = counter("pipeline_mark_rows", "Mark rows, by what became of them", "outcome")
        self.bad_rows = counter(
            "pipeline_bad_rows", "What came from outside and could not be trusted", "source", "reason"
        )
        self.endings = counter("pipeline_stream_endings", "Connections ended, by why", "why")
        self.connected = gauge("pipeline_stream_connections", "Connections that deliver marks")
        self.lag = gauge("pipeline_mark_lag_seconds", "Received minus event time, newest mark of the last frame")
        self.marks = gauge("pipeline_marks", "Symbols with a mark price")
        self.frozen = gauge("pipeline_frozen_symbols", "Universe symbols whose mark price has not moved")
        self.fallback = gauge("pipeline_fallback_active", "1 while marks come from premiumIndex, not from a stream")
        self.write_failures = counter("pipeline_redis_write_failures", "Writes that Redis did not take")
        self.write = Histogram(
            "pipeline_mark_write_seconds",
            "From a frame received to its marks being visible in Redis",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
            registry=registry,
        )
