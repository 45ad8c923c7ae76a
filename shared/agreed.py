"""Settings that more than one process is told, and what follows from them: declared once, so that all judge alike."""

from __future__ import annotations

from dataclasses import dataclass

from shared.proxy import Proxy, proxy
from shared.settings import CommonSettings, Setting, file_path, host_id, integer, number, origin, switch, take, text

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
FOREIGN_S = 900.0  # after the last sight of another writer it counts as gone; the old timer comes every five minutes
# Of /metrics and /healthz; for each the one common setting whose default differs.
METRICS_PORTS = {
    "ws_daemon": 9101,
    "oi_poller": 9102,
    "publisher": 9103,
    "oi_alerter": 9104,
    "funding_api": 9105,
    "oi_keeper": 9106,
    "venue_poller": 9107,
}


def backend_origin(value: str) -> str:
    """``https://host[:port]``; without a scheme it means https."""
    return str(origin("https", "http")(value if "://" in value else f"https://{value}"))


def unfit_key(key: str) -> str:
    """Why this cannot be the backend's key; empty where it may be, and where there is none."""
    if key[:1] in {'"', "'"} or key[-1:] in {'"', "'"}:
        return "has its quotes on (`docker run --env-file` keeps them): leave them out"
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        return "holds a character that no header can carry"
    return ""


BINANCE_WS_URL = Setting(
    "BINANCE_WS_URL",
    "wss://fstream.binance.com",
    "origin of the mark-price stream; the routed path is added",
    origin("wss", "ws"),
)
BINANCE_WS_CONNECTIONS = Setting("BINANCE_WS_CONNECTIONS", "2", "connections that feed one merged state", integer(1, 2))
BINANCE_REST_URL = Setting(
    "BINANCE_REST_URL", "https://fapi.binance.com", "origin of the exchange's REST API", origin("https", "http")
)
BINANCE_PROXY = Setting(
    "BINANCE_PROXY",
    "",
    "http://user:password@host:port, through which all goes that is sent to the exchange; empty: none",
    proxy,
    aliases=("BINANCE_PROXY_URL",),
    secret=True,
)
EGRESS_ID = Setting(
    "EGRESS_ID",
    "",
    "name of the address that the exchange sees, and bans; the proxy's where empty, else HOST_ID",
    lambda value: host_id(value) if value else "",
)
BACKEND_URL = Setting(
    "BACKEND_URL",
    None,
    "origin of the backend; without a scheme it means https",
    backend_origin,
    aliases=("VOLSPIKE_API_URL",),
)
BACKEND_API_KEY = Setting(
    "BACKEND_API_KEY",
    "",
    "key sent as X-API-Key; or a systemd credential named backend_api_key",
    text,
    aliases=("VOLSPIKE_API_KEY",),
    secret=True,
)
BACKEND_ALLOW_HTTP = Setting(
    "BACKEND_ALLOW_HTTP", "off", "send the key without TLS to a host that is not this one", switch
)
BACKEND_AUDIT = Setting("BACKEND_AUDIT", "on", "off for a backend that offers nothing to read back", switch)
MARK_MAX_AGE = Setting("MARK_MAX_AGE_SEC", "15", "older mark prices are not published", number(0.1, 3600))
OI_MAX_AGE = Setting("OI_MAX_AGE_SEC", "60", "older open interest is not published", number(0.1, 3600))
VERIFIED_MAX_AGE = Setting(
    "VERIFIED_MAX_AGE_SEC", "60", "without a verified cycle for so long, /healthz answers 503", number(0.5, 3600)
)
MAX_INTERVAL = Setting(
    "OI_MAX_INTERVAL_SEC",
    "30",
    "most seconds from the start of a sweep to the next; where the budget needs more, the budget wins",
    number(0.05, 3600),
)
ENTER_QUOTE = Setting(
    "OI_LIQUID_ENTER_QUOTE_24H", "4000000", "24 h quote volume from which a symbol is polled", number(0, 1e15)
)
EXIT_QUOTE = Setting(
    "OI_LIQUID_EXIT_QUOTE_24H", "2000000", "24 h quote volume under which it is no longer", number(0, 1e15)
)
HISTORY_PATH = Setting(
    "HISTORY_PATH",
    "/var/lib/oi-pipeline/oi_keeper/history.db",
    "the file of open interest's past; its folder must exist",
    file_path,
)

VENUES = Setting(
    "VENUES",
    "",
    "other venues whose open interest is read, comma-separated, or all; empty: none, and venue_poller idles",
    text,
)


def egress(egress_id: str, proxy: Proxy | None, host: str) -> str:
    """What tells the address from another's that the exchange sees."""
    return egress_id or (proxy.where if proxy else host)


@dataclass(frozen=True)
class ExchangeSettings(CommonSettings):
    """What every service is told that asks the exchange by REST."""

    proxy: Proxy | None = take(BINANCE_PROXY)
    egress_id: str = take(EGRESS_ID)

    @property
    def egress(self) -> str:
        return egress(self.egress_id, self.proxy, self.host_id)


def stalled_s(max_interval_s: float) -> float:
    """After so long without a sweep, whoever makes sweeps or lives on them is stalled."""
    return 3 * max_interval_s + 5
