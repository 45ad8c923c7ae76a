"""What oi_keeper can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.agreed import BINANCE_REST_URL, HISTORY_PATH, MAX_INTERVAL, METRICS_PORTS, ExchangeSettings, stalled_s
from shared.settings import metrics_port, setting, switch, take


@dataclass(frozen=True)
class Settings(ExchangeSettings):
    path: str = take(HISTORY_PATH)
    backfill: bool = setting(
        "HISTORY_BACKFILL", "on", switch, "ask the exchange for the hours of the week before, two symbols a second"
    )
    rest_url: str = take(BINANCE_REST_URL)
    max_interval_s: float = take(MAX_INTERVAL)
    metrics_port: int = metrics_port(METRICS_PORTS["oi_keeper"])

    @property
    def limit_s(self) -> float:
        """How long without a sweep is a stall."""
        return stalled_s(self.max_interval_s)
