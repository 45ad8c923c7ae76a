"""What oi_poller can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.oi_poller.universe import KNOWN_TYPES
from shared.agreed import (
    BINANCE_REST_URL,
    ENTER_QUOTE,
    EXIT_QUOTE,
    MARK_MAX_AGE,
    MAX_INTERVAL,
    METRICS_PORTS,
    ExchangeSettings,
    stalled_s,
)
from shared.errors import SettingsError
from shared.settings import integer, metrics_port, number, setting, take, words

_TYPE = re.compile(r"[A-Z][A-Z0-9_]{2,39}")
DOLLARS = ("USDT", "USDC", "USD1", "U", "FDUSD")  # open interest x mark of a BTC-quoted contract would be BTC


def _contract_types(value: str) -> frozenset[str]:
    """The exchange invents new ones, so any that could be one will do; who lists none is warned of it."""
    names = frozenset(part.strip().upper() for part in value.split(",") if part.strip())
    for name in names or {""}:
        if not _TYPE.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a contract type")
    return names


@dataclass(frozen=True)
class Settings(ExchangeSettings):
    rest_url: str = take(BINANCE_REST_URL)
    per_minute: int | None = setting(
        "OI_MAX_REQ_PER_MIN",
        "",
        lambda value: integer(1, 100_000)(value) if value else None,
        "request weight a minute, as a rate: sweeps are spaced by it; empty: what the exchange's limit leaves",
    )
    reserve: int = setting(
        "OI_WEIGHT_RESERVE",
        "200",
        integer(0, 100_000),
        "weight of the exchange's limit that is left free; without OI_MAX_REQ_PER_MIN at most 100 while nobody else is "
        "seen on the address",
    )
    min_interval_s: float = setting(
        "OI_MIN_INTERVAL_SEC", "5", number(0.05, 3600), "least seconds from the start of a sweep to the next"
    )
    max_interval_s: float = take(MAX_INTERVAL)
    enter_quote: float = take(ENTER_QUOTE)
    exit_quote: float = take(EXIT_QUOTE)
    contract_types: frozenset[str] = setting(
        "OI_CONTRACT_TYPES", "PERPETUAL", _contract_types, f"comma-separated, such as {', '.join(KNOWN_TYPES)}"
    )
    quote_assets: frozenset[str] = setting(
        "OI_QUOTE_ASSETS", "USDT", words(*DOLLARS), f"comma-separated, of {', '.join(DOLLARS)}"
    )
    in_flight: int = setting("OI_IN_FLIGHT", "64", integer(1, 256), "requests of a sweep under way at the same time")
    listings_s: float = setting(
        "OI_LISTINGS_INTERVAL_SEC", "300", number(1, 3600), "most seconds between looks at the exchange's symbol list"
    )
    mark_max_age_s: float = take(MARK_MAX_AGE)
    metrics_port: int = metrics_port(METRICS_PORTS["oi_poller"])

    def __post_init__(self) -> None:
        if self.exit_quote > self.enter_quote:
            raise SettingsError(
                f"OI_LIQUID_EXIT_QUOTE_24H={self.exit_quote:.15g} must not exceed "
                f"OI_LIQUID_ENTER_QUOTE_24H={self.enter_quote:.15g}"
            )
        if self.min_interval_s > self.max_interval_s:
            raise SettingsError(
                f"OI_MIN_INTERVAL_SEC={self.min_interval_s:g} must not exceed "
                f"OI_MAX_INTERVAL_SEC={self.max_interval_s:g}"
            )

    @property
    def limit_s(self) -> float:
        """How long without a sweep is a stall."""
        return stalled_s(self.max_interval_s)
