"""oi_poller's counters and gauges; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.oi_poller.sweep import Outcome
from services.oi_poller.weight import WeightBudget
from shared.ban import Ban
from shared.clock import Clock, monotonic_ms
from shared.meters import Meters


class Metrics(Meters):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.requests = self.counter("pipeline_oi_requests", "Symbols asked for, by what became of them", "outcome")
        self.listings_failures = self.counter(
            "pipeline_listings_failures", "Looks at the exchange's symbol list that gave nothing usable", "reason"
        )
        self.redis_failures = self.counter("pipeline_redis_failures", "Turns that Redis did not take part in")
        self.universe = self.gauge("pipeline_universe_symbols", "Symbols polled now")
        self.sweep_symbols = self.gauge(
            "pipeline_sweep_symbols",
            "Symbols of the last sweep: fresh, failed, and carried (failed, old value kept)",
            "state",
        )
        self.interval = self.gauge(
            "pipeline_sweep_interval_seconds", "From the start of a sweep to the start of the next"
        )
        self.over_max = self.gauge(
            "pipeline_sweep_interval_over_max", "1 while the weight budget forces a longer interval"
        )
        self.last_sweep = self.gauge("pipeline_last_sweep_timestamp_seconds", "When a sweep last landed in Redis")
        self.weight = self.gauge(
            "pipeline_request_weight", "Request weight of this minute, by the exchange's count", "state"
        )
        self.weight_limit = self.gauge("pipeline_request_weight_limit", "The exchange's limit a minute")
        self.ban_until = self.gauge("pipeline_ban_until_timestamp_seconds", "Nothing is sent before; 0: never told so")
        self.duration = self.histogram(
            "pipeline_sweep_duration_seconds",
            "First request to last answer of a sweep",
            buckets=(0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10, 30, 60, 120),
        )

    def watch(self, budget: WeightBudget, ban: Ban, clock: Clock) -> None:
        """Gauges that are worked out when they are read: a minute ends without anybody calling."""
        self.weight.labels("used").set_function(lambda: budget.used(monotonic_ms(clock)))
        self.weight.labels("free").set_function(lambda: budget.free(monotonic_ms(clock)))
        self.weight.labels("reserved").set_function(lambda: budget.reserved(monotonic_ms(clock)))
        self.weight.labels("others").set_function(lambda: budget.others(monotonic_ms(clock)))
        self.weight_limit.set_function(lambda: budget.limit)
        self.ban_until.set_function(lambda: ban.until_ms / 1000)

    def swept(self, outcome: Outcome, carried: int, took_s: float) -> None:
        self.duration.observe(took_s)
        self.requests.labels("fresh").inc(len(outcome.fresh))
        for reason in outcome.failures.values():
            self.requests.labels(reason.value).inc()
        self.sweep_symbols.labels("fresh").set(len(outcome.fresh))
        self.sweep_symbols.labels("failed").set(len(outcome.failures))
        self.sweep_symbols.labels("carried").set(carried)
