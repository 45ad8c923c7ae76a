"""What oi_alerter can be told."""

from __future__ import annotations

from dataclasses import dataclass

from services.oi_alerter.detector import Frame
from shared.agreed import BINANCE_REST_URL, MAX_INTERVAL, METRICS_PORTS, ExchangeSettings, stalled_s
from shared.settings import metrics_port, number, setting, switch, take

# Of these the exchange lists USDCUSDT today; the others are dollars too, and would move as little and mean as little.
STABLE = (
    "USDCUSDT,USD1USDT,FDUSDUSDT,USDEUSDT,TUSDUSDT,USDPUSDT,DAIUSDT,BUSDUSDT,RLUSDUSDT,PYUSDUSDT,USDSUSDT,XUSDUSDT,"
    "BFUSDUSDT,UUSDT,USDTUSDC,USD1USDC"
)


def symbols(value: str) -> frozenset[str]:
    """Comma-separated symbols; ``none`` for an empty list, since an empty value counts as not set."""
    if value.lower() == "none":
        return frozenset()
    names = [part.strip().upper() for part in value.split(",") if part.strip()]
    bad = [name for name in names if " " in name or not name.isprintable() or len(name) > 64]
    if bad or not names:
        raise ValueError(f"{bad[0]!r:.80} is no symbol" if bad else "no symbol in it; none skips nothing")
    return frozenset(names)


def _threshold(minutes: int, default: str) -> float:
    about = f"change, as a fraction, from which {minutes} minutes are an alert"
    name = f"OI_SPIKE_THRESHOLD_PCT_{minutes}MIN"
    return setting(name, default, number(0.001, 1), about)  # type: ignore[no-any-return]


def _lookback(minutes: int) -> float:
    about = f"seconds from the baseline to now, of the time frame of {minutes} minutes"
    name = f"OI_LOOKBACK_WINDOW_{minutes}MIN"
    return setting(name, str(minutes * 60), number(1, 7200), about)  # type: ignore[no-any-return]


def _cooldown(minutes: int, default: str) -> float:
    about = f"least seconds between two alerts of one symbol and direction over {minutes} minutes"
    return setting(f"OI_ALERT_COOLDOWN_{minutes}MIN", default, number(0, 86_400), about)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Settings(ExchangeSettings):
    threshold_5: float = _threshold(5, "0.03")
    threshold_15: float = _threshold(15, "0.07")
    threshold_60: float = _threshold(60, "0.12")
    lookback_5_s: float = _lookback(5)
    lookback_15_s: float = _lookback(15)
    lookback_60_s: float = _lookback(60)
    cooldown_5_s: float = _cooldown(5, "600")
    cooldown_15_s: float = _cooldown(15, "900")
    cooldown_60_s: float = _cooldown(60, "3600")
    min_contracts: float = setting(
        "OI_MIN_DELTA_CONTRACTS", "5000", number(0, 1e15), "contracts that open interest must have moved by at least"
    )
    skip: frozenset[str] = setting(
        "OI_ALERT_SKIP", STABLE, symbols, "symbols that never alert, comma-separated; none skips nothing"
    )
    warm: bool = setting(
        "OI_ALERT_WARM", "on", switch, "ask the exchange for the past of symbols without history, two a second"
    )
    rest_url: str = take(BINANCE_REST_URL)
    max_interval_s: float = take(MAX_INTERVAL)
    metrics_port: int = metrics_port(METRICS_PORTS["oi_alerter"])

    @property
    def frames(self) -> tuple[Frame, ...]:
        return (
            Frame("5 min", _ms(self.lookback_5_s), self.threshold_5, _ms(self.cooldown_5_s)),
            Frame("15 min", _ms(self.lookback_15_s), self.threshold_15, _ms(self.cooldown_15_s)),
            Frame("1 hour", _ms(self.lookback_60_s), self.threshold_60, _ms(self.cooldown_60_s)),
        )

    @property
    def limit_s(self) -> float:
        """How long without a sweep is a stall."""
        return stalled_s(self.max_interval_s)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
