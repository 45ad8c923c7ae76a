"""oi_alerter's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.oi_alerter.detector import DIRECTIONS, REASONS, Frame


class Metrics:
    def __init__(self, registry: CollectorRegistry, frames: tuple[Frame, ...]) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(name, about, registry=registry)

        self.alerts = counter("pipeline_alerts", "Alerts added to oi:alerts", "timeframe", "direction")
        self.suppressed = counter(
            "pipeline_alerts_suppressed", "Looks at one symbol and time frame that could tell nothing, by why", "reason"
        )
        self.bad_rows = counter(
            "pipeline_bad_rows", "What came from outside and could not be trusted", "source", "reason"
        )
        self.warmed = counter("pipeline_alert_warmed", "Symbols whose past was asked for, by outcome", "outcome")
        self.redis_failures = counter("pipeline_redis_failures", "Turns that Redis did not take part in")
        self.watched = gauge("pipeline_alert_symbols_watched", "Symbols with a history")
        self.history = gauge("pipeline_alert_history_seconds", "How far the history of the middle symbol reaches back")
        self.samples = gauge("pipeline_alert_samples", "Samples in memory")
        self.latched = gauge("pipeline_alert_latches", "Latches and cooldowns in force")
        self.last_sweep = gauge("pipeline_alert_last_sweep_timestamp_seconds", "When a sweep was last looked at")
        for frame in frames:
            for direction, _ in DIRECTIONS:
                self.alerts.labels(frame.name, direction)
        for reason in REASONS:
            self.suppressed.labels(reason)
