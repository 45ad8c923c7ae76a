"""ws_daemon's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        # source: stream-1, stream-2, premiumIndex, ticker24h
        self.frames = self.counter("pipeline_frames", "Frames that held marks, by source", "source")
        self.last_frame = self.gauge(
            "pipeline_last_frame_timestamp_seconds", "When marks last came, by source", "source"
        )
        self.last_volumes = self.gauge(
            "pipeline_last_volumes_timestamp_seconds", "When 24 h volumes last came, by source", "source"
        )
        self.rows = self.counter("pipeline_mark_rows", "Mark rows, by what became of them", "outcome")
        self.endings = self.counter("pipeline_stream_endings", "Connections ended, by why", "why")
        self.connected = self.gauge("pipeline_stream_connections", "Connections that deliver marks")
        self.lag = self.gauge("pipeline_mark_lag_seconds", "Received minus event time, newest mark of the last frame")
        self.marks = self.gauge("pipeline_marks", "Symbols with a mark price")
        self.frozen = self.gauge("pipeline_frozen_symbols", "Universe symbols whose mark price has not moved")
        self.fallback = self.gauge(
            "pipeline_fallback_active", "1 while marks come from premiumIndex, not from a stream"
        )
        self.write_failures = self.counter("pipeline_redis_write_failures", "Writes that Redis did not take")
        self.write = self.histogram(
            "pipeline_mark_write_seconds",
            "From a frame received to its marks being visible in Redis",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
        )
