"""What oi_keeper can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.agreed import HISTORY_PATH, MAX_INTERVAL, METRICS_PORTS, stalled_s
from shared.settings import CommonSettings, metrics_port, take


@dataclass(frozen=True)
class Settings(CommonSettings):
    path: str = take(HISTORY_PATH)
    max_interval_s: float = take(MAX_INTERVAL)
    metrics_port: int = metrics_port(METRICS_PORTS["oi_keeper"])

    @property
    def limit_s(self) -> float:
        """How long without a sweep is a stall."""
        return stalled_s(self.max_interval_s)
