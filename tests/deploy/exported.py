"""What the services export: every metric they register, by service."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

from dev.env_example import service_names, settings_of
from shared.settings import load

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
EVERYONE = ("pipeline_healthy", "process_start_time_seconds", "process_resident_memory_bytes")
SHARED_WORK = (
    *("pipeline_lease_owner", "pipeline_work_begun_timestamp_seconds"),
    *("pipeline_handovers_total", "pipeline_without_owner_seconds_total"),
)


class Exported(NamedTuple):
    name: str  # as it is written in a query, for a histogram without its suffix
    kind: str
    labels: tuple[str, ...]
    about: str

    def series(self) -> set[str]:
        name = self.name.removesuffix("_total") if self.kind == "counter" else self.name
        return {name + suffix for suffix in SUFFIXES[self.kind]}


def exported(service: str) -> list[Exported]:
    """In the order in which they are declared."""
    registry = CollectorRegistry()
    metrics = importlib.import_module(f"services.{service}.metrics").Metrics
    arguments: dict[str, Any] = {"registry": registry}
    if "frames" in inspect.signature(metrics).parameters:
        settings = load(settings_of(service), {})
        arguments["frames"] = settings.frames
    metrics(**arguments)
    found = []
    for collector in list(registry._collector_to_names):  # type: ignore[attr-defined]
        family = next(iter(collector.describe()))
        name = family.name + ("_total" if family.type == "counter" else "")
        found.append(Exported(name, family.type, tuple(collector._labelnames), family.documentation))  # type: ignore[attr-defined]
    return found


def all_series() -> set[str]:
    own = {series for service in service_names() for metric in exported(service) for series in metric.series()}
    return own | set(EVERYONE) | set(SHARED_WORK) | {"pipeline_fenced_writes", "up"}
