"""What ws_daemon can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.agreed import BINANCE_REST_URL, BINANCE_WS_CONNECTIONS, BINANCE_WS_URL, METRICS_PORTS, ExchangeSettings
from shared.settings import metrics_port, number, setting, take

DAY_S = 86_400.0


@dataclass(frozen=True)
class Settings(ExchangeSettings):
    ws_url: str = take(BINANCE_WS_URL)
    rest_url: str = take(BINANCE_REST_URL)
    connections: int = take(BINANCE_WS_CONNECTIONS)
    idle_s: float = setting(
        "BINANCE_WS_IDLE_SEC", "5", number(0.2, 60), "seconds without a mark frame that end a connection"
    )
    lifetime_s: float = setting(
        "BINANCE_WS_LIFETIME_SEC", "85800", number(1, DAY_S), "seconds after which a connection is replaced"
    )
    fallback_s: float = setting(
        "BINANCE_REST_FALLBACK_SEC",
        "3",
        number(0.2, 60),
        "seconds between premiumIndex requests while the streams are mute",
    )
    metrics_port: int = metrics_port(METRICS_PORTS["ws_daemon"])
