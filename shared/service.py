"""What a service is given to work with, and the one description of it that all who ask are told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.clock import Clock, SystemClock, iso
from shared.health import Health


@dataclass
class Service:
    """``facts`` are what it tells of itself beside the common fields: counts, times, words of a fixed list."""

    name: str
    redis: Redis
    health: Health
    registry: CollectorRegistry
    clock: Clock = field(default_factory=SystemClock)
    facts: dict[str, str] = field(default_factory=dict)
    started: str = ""

    def __post_init__(self) -> None:
        self.started = iso(self.clock.now_ms())

    def describe(self) -> dict[str, str]:
        """For ``/healthz``, the heartbeat and the service manager; ``lastSuccess`` is empty before the first."""
        report = self.health.report()
        return {
            "service": self.name,
            "state": report.state,
            "detail": report.detail,
            "since": iso(report.since_ms),
            "lastSuccess": "" if report.last_success_ms is None else iso(report.last_success_ms),
            "started": self.started,
            "beat": iso(self.clock.now_ms()),
            "pid": str(os.getpid()),
            **self.facts,
        }
