"""What every service counts with: counters, gauges and histograms on its own registry; ``symbol`` is never a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.clock import Clock, SystemClock
from shared.errors import WireError
from shared.logs import SAY_AGAIN_S, EventLog, OncePer

log = EventLog("meters")


class Meters:
    """A service's metrics are the attributes of its subclass; what is here every service has."""

    def __init__(self, registry: CollectorRegistry, clock: Clock | None = None) -> None:
        self._registry = registry
        self._once = OncePer(clock or SystemClock(), SAY_AGAIN_S)
        self.bad_rows = self.counter(
            "pipeline_bad_rows", "What came from outside and could not be trusted", "source", "reason"
        )

    def bad(self, source: str, error: WireError, count: int = 1) -> None:
        """Count what was dropped because it could not be trusted, and name the first of its reason in each minute."""
        self.bad_rows.labels(source, error.reason).inc(count)
        if self._once.due(error.reason):
            log.warning("bad row dropped", source=source, why=str(error))

    def bad_in_redis(self, error: WireError) -> None:
        """For whoever reads there what another version, or a hand with redis-cli, may have written."""
        self.bad("redis", error)

    def counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self._registry)

    def gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self._registry)

    def histogram(self, name: str, about: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, about, labels, buckets=buckets, registry=self._registry)
