"""What oi_keeper can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.agreed import BINANCE_PROXY, BINANCE_REST_URL, HISTORY_PATH, MAX_INTERVAL, METRICS_PORTS, stalled_s
from shared.proxy import Proxy
from shared.settings import CommonSettings, metrics_port, setting, switch, take


@dataclass(frozen=True)
class Settings(CommonSettings):
    path: str = take(HISTORY_PATH)
    backfill: bool = setting(
        "HISTORY_BACKFILL", "on", switch, "ask the exchange for the hours of the week before, two symbols a second"
    )
    rest_url: str = take(BINANCE_REST_URL)
    proxy: Proxy | None = take(BINANCE_PROXY)
    max_interval_s: float = take(MAX_INTERVAL)
    metrics_port: int = metrics_port(METRICS_PORTS["oi_keeper"])

    @property
    def limit_s(self) -> float:
        """How long without a sweep is a stall."""
        return stalled_s(self.max_interval_s)
