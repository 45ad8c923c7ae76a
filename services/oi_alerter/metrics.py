"""oi_alerter's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.oi_alerter.detector import DIRECTIONS, REASONS, Frame
from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry, frames: tuple[Frame, ...]) -> None:
        super().__init__(registry)
        self.alerts = self.counter("pipeline_alerts", "Alerts added to oi:alerts", "timeframe", "direction")
        self.suppressed = self.counter(
            "pipeline_alerts_suppressed", "Looks at one symbol and time frame that could tell nothing, by why", "reason"
        )
        self.warmed = self.counter("pipeline_alert_warmed", "Symbols whose past was asked for, by outcome", "outcome")
        self.redis_failures = self.counter("pipeline_redis_failures", "Turns that Redis did not take part in")
        self.last_sweep = self.gauge("pipeline_alert_last_sweep_timestamp_seconds", "When a sweep was last looked at")
        for frame in frames:
            for direction, _ in DIRECTIONS:
                self.alerts.labels(frame.name, direction)
        for reason in REASONS:
            self.suppressed.labels(reason)
