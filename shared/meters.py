"""What every service counts with: counters, gauges and histograms on its own registry; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Meters:
    """A service's metrics are the attributes of its subclass; this one every service has."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.bad_rows = self.counter(
            "pipeline_bad_rows", "What came from outside and could not be trusted", "source", "reason"
        )

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self._registry)

    def gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self._registry)

    def histogram(self, name: str, about: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, about, labels, buckets=buckets, registry=self._registry)
