"""What ws_daemon can be told."""

from __future__ import annotations

from dataclasses import dataclass

from shared.settings import CommonSettings, integer, metrics_port, number, origin, setting

DAY_S = 86_400.0


@dataclass(frozen=True)
class Settings(CommonSettings):
    ws_url: str = setting(
        "BINANCE_WS_URL",
        "wss://fstream.binance.com",
        origin("wss", "ws"),
        "origin of the mark-price stream; the routed path is added",
    )
    rest_url: str = setting(
        "BINANCE_REST_URL", "https://fapi.binance.com", origin("https", "http"), "origin of the exchange's REST API"
    )
    connections: int = setting("BINANCE_WS_CONNECTIONS", "2", integer(1, 2), "connections that feed one merged state")
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
    metrics_port: int = metrics_port(9101)
