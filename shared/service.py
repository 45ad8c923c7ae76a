"""What a service is given to work with, and the one description of it that all who ask are told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from shared.clock import Clock, SystemClock, iso
from shared.fence import Fence, FencedRedis
from shared.health import Health


@dataclass
class Service:
    """``facts`` are what it tells of itself beside the common fields: counts, times, words of a fixed list.

    ``redis`` lets through what this process may write now, where several share the work; ``unfenced`` everything.
    """

    name: str
    redis: Redis
    health: Health
    registry: CollectorRegistry
    clock: Clock = field(default_factory=SystemClock)
    facts: dict[str, str] = field(default_factory=dict)
    started: str = ""
    host: str = ""
    agreed: dict[str, Any] = field(default_factory=dict)  # what must be alike on all hosts: version, settings
    fence: Fence | None = None
    egress: str = ""  # what tells its address at the exchange from another's
    wish: str = ""  # why another host had better do the work, such as: banned

    @property
    def unfenced(self) -> Redis:
        return self.redis.unfenced if isinstance(self.redis, FencedRedis) else self.redis

    @property
    def warm(self) -> bool:
        """Whether as a standby it does all but write."""
        return self.fence is not None and self.fence.warm

    @property
    def standby(self) -> str:
        """Who does its work instead of this process; empty: nobody else."""
        return self.fence.standby if self.fence else ""

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
            "host": self.host,
            **self.facts,
        }
