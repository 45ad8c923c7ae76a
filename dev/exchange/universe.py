"""Which contracts exist, made from a seed: pure, no clock and no I/O.

Counts follow the venue of late 2026: 924 USDⓈ-M contracts, 789 of them TRADING. In no exchangeInfo stand 30 COIN-M
contracts that only the streams carry, and 8 that were removed and still have a mark, in the stream and in premiumIndex.
Prices are in the quote asset, volumes in USD a day, instants in Unix milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from dev.exchange import names

FOR_EVER_MS = 4133404800000  # the delivery date of a contract that has none
FIRST_ONBOARD_MS = 1567965300000
LAST_ONBOARD_MS = 1788000300000
HALF_HOUR_MS = 1_800_000
USDT_PERPETUALS = 530
TRADFI_TRADING = 213
SETTLING = 130
REMOVED = "REMOVED"  # no status of the venue's: exchangeInfo has no row to say one in


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract as exchangeInfo tells it, with the level its random walk starts from."""

    symbol: str
    base_asset: str
    quote_asset: str
    start_mark: float
    usd_volume: float  # 24 h
    start_oi: float  # base units; COIN-M: contracts
    contract_type: str = "PERPETUAL"
    status: str = "TRADING"
    underlying_type: str = "COIN"
    underlying_subtypes: tuple[str, ...] = ()
    onboard_ms: int = FIRST_ONBOARD_MS
    delivery_ms: int = FOR_EVER_MS
    coin_m: bool = False
    pair: str = ""

    @property
    def tradfi(self) -> bool:
        """Marked in the frame that has its own phase."""
        return self.contract_type == "TRADIFI_PERPETUAL"

    @property
    def trading(self) -> bool:
        return self.status == "TRADING"

    @property
    def listed(self) -> bool:
        """Known to exchangeInfo, and to the routes that want a symbol."""
        return not self.coin_m and self.status != REMOVED

    @property
    def price_decimals(self) -> int:
        """Five significant digits or so, as the venue's tick sizes have."""
        whole = len(str(int(self.start_mark))) if self.start_mark >= 1 else 0
        zeros = 0
        while whole == 0 and zeros < 4 and self.start_mark * 10 ** (zeros + 1) < 1:
            zeros += 1
        return min(7, max(1, 6 - whole)) if whole else min(7, 4 + zeros)

    @property
    def quantity_decimals(self) -> int:
        if self.coin_m:
            return 0
        return 3 if self.start_mark > 200 else 2 if self.start_mark > 40 else 1 if self.start_mark > 2 else 0


def quarter_ends(now_ms: int) -> tuple[date, date]:
    """The last Fridays of the current and the next quarter that still lie ahead."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    found: list[date] = []
    year, month = today.year, (today.month - 1) // 3 * 3 + 3
    while len(found) < 2:
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        friday = last - timedelta(days=(last.weekday() - 4) % 7)
        if friday > today:
            found.append(friday)
        year, month = (year, month + 3) if month < 12 else (year + 1, 3)
    return found[0], found[1]


def build(seed: int, now_ms: int, recorded: Mapping[str, float] | None = None) -> list[Contract]:
    """Every contract of this seed; ``recorded`` maps symbols of a premiumIndex body to the marks to start from."""
    draw = random.Random(seed)
    recorded = recorded or {}
    contracts = [*_usdt_perpetuals(draw, recorded), *_tradfi(draw)]
    marks = {c.base_asset: c.start_mark for c in contracts}
    contracts += [*_other_quotes(draw, marks), *_quarterlies(now_ms), *_not_trading(draw), *coin_m(draw, marks, now_ms)]
    return [_restart(c, recorded.get(c.symbol)) for c in [*contracts, *_removed(draw)]]


def perpetual(draw: random.Random, base: str, price: float, usd_volume: float, **more: object) -> Contract:
    """A USDT perpetual of plausible open interest: heavy-tailed like its volume."""
    oi = usd_volume * 0.6 * draw.lognormvariate(0, 0.35) / price
    fields = {
        "underlying_type": _underlying(base),
        "underlying_subtypes": _subtypes(base),
        "start_oi": oi,
        "onboard_ms": draw.randrange(FIRST_ONBOARD_MS, LAST_ONBOARD_MS, HALF_HOUR_MS),
        **more,
    }
    return Contract(
        symbol=f"{base}USDT",
        base_asset=base,
        quote_asset="USDT",
        start_mark=price,
        usd_volume=usd_volume,
        **fields,  # type: ignore[arg-type]
    )


def volume_of_rank(rank: int) -> float:
    """USD a day: 14 billion for the first, about 4 million for the 340th."""
    return float(14e9 * rank**-1.4)


def _usdt_perpetuals(draw: random.Random, recorded: Mapping[str, float]) -> Iterator[Contract]:
    for rank, (base, price) in enumerate(_bases(draw, recorded), 1):
        if base == "BTC":
            yield perpetual(draw, base, price, 14e9, start_oi=95_000.0, onboard_ms=FIRST_ONBOARD_MS)
        else:
            yield perpetual(draw, base, price, volume_of_rank(rank) * draw.lognormvariate(0, 0.12))


def _bases(draw: random.Random, recorded: Mapping[str, float]) -> list[tuple[str, float]]:
    """Base assets by volume: the well known, then the recorded, then made-up ones; Chinese names at their ranks."""
    bases = dict(names.MAJORS)
    taken = {*names.DELISTED, *names.EQUITIES, *names.COMMODITIES, *names.CHINESE}
    for symbol, mark in recorded.items():
        base = symbol.removesuffix("USDT")
        if symbol.endswith("USDT") and base not in taken and len(bases) < USDT_PERPETUALS - len(names.CHINESE):
            bases.setdefault(base, mark)
    number = 0
    while len(bases) < USDT_PERPETUALS - len(names.CHINESE):
        number += draw.randrange(1, 9)
        if (name := names.made_up(number)) not in taken:
            bases.setdefault(name, 10 ** draw.uniform(-4, 1.5))
    ranked = list(bases.items())
    for rank, item in zip(names.CHINESE_RANKS, names.CHINESE.items(), strict=True):
        ranked.insert(rank, item)
    return ranked


def _tradfi(draw: random.Random) -> Iterator[Contract]:
    groups: list[tuple[str, float, str]] = [(name, price, "COMMODITY") for name, price in names.COMMODITIES.items()]
    groups += [(name, draw.uniform(2, 90), "HK_EQUITY") for name in names.HK_EQUITIES]
    groups += [(name, draw.uniform(30, 400), "KR_EQUITY") for name in names.KR_EQUITIES]
    groups += [(name, draw.uniform(5, 200), "CN_EQUITY") for name in names.CN_EQUITIES]
    groups += [(name, draw.uniform(100, 900), "PREMARKET") for name in names.TRADFI_PREMARKET]
    groups += [(name, price, "FX") for name, price in names.FX.items()]
    equities = list(names.EQUITIES)
    while len(equities) + len(groups) < TRADFI_TRADING - 1:  # SPCXUSD1 is one of the TradFi contracts
        equities.append("Q" + names.made_up(3 + 7 * len(equities)))
    groups += [(name, draw.uniform(10, 700), "EQUITY") for name in equities]
    for rank, (name, price, kind) in enumerate(groups, 1):
        volume = 2.2e9 if name == "XAU" else 6e8 * rank**-1.25 * draw.lognormvariate(0, 0.4)
        yield perpetual(draw, name, price, volume, **_tradfi_fields(kind))


def _other_quotes(draw: random.Random, marks: Mapping[str, float]) -> Iterator[Contract]:
    def one(base: str, quote: str, mark: float, volume: float, **more: object) -> Contract:
        made = perpetual(draw, base, mark, volume, **more)
        return replace(made, symbol=f"{base}{quote}", quote_asset=quote)

    for rank, base in enumerate([*names.MAJORS][:37], 1):
        yield one(base, "USDC", names.MAJORS[base], volume_of_rank(rank) * 0.08)
    for quote in ("USD1", "U"):
        for base in ("BTC", "ETH"):
            yield one(base, quote, names.MAJORS[base], 9e6)
    yield one("SPCX", "USD1", marks["SPCX"], 2e6, **_tradfi_fields("PREMARKET"))
    ratio = names.MAJORS["ETH"] / names.MAJORS["BTC"]
    yield one("ETH", "BTC", ratio, 8e6, start_oi=4_100.0)


def _quarterlies(now_ms: int) -> Iterator[Contract]:
    for kind, end in zip(("CURRENT_QUARTER", "NEXT_QUARTER"), quarter_ends(now_ms), strict=True):
        for base, volume in (("BTC", 1.1e8), ("ETH", 4.2e7)):
            mark = names.MAJORS[base] * 1.004
            yield Contract(
                symbol=f"{base}USDT_{end:%y%m%d}",
                base_asset=base,
                quote_asset="USDT",
                start_mark=mark,
                usd_volume=volume,
                start_oi=volume / mark,
                contract_type=kind,
                onboard_ms=delivery_ms(end) - 15_724_800_000,
                delivery_ms=delivery_ms(end),
                pair=f"{base}USDT",
            )


def _not_trading(draw: random.Random) -> Iterator[Contract]:
    """Delisted contracts stay listed as SETTLING; a few wait, settle or deliver."""
    gone = [*names.DELISTED, "QDELISTA", "QDELISTB"]
    gone += [names.made_up(20_000 + 11 * number) for number in range(SETTLING - len(gone))]
    for base in gone:
        tradfi = _tradfi_fields("EQUITY") if base.startswith("QDELIST") else {}
        made = perpetual(draw, base, 10 ** draw.uniform(-3, 1), 1.0, status="SETTLING", **tradfi)
        yield replace(made, delivery_ms=made.onboard_ms + draw.randrange(30, 900) * 86_400_000)
    yield perpetual(draw, "BTCST", 9.1, 1.0, status="PENDING_TRADING", contract_type="")
    yield perpetual(draw, "DRIFTNOVA", 0.4, 1.0, status="PENDING_TRADING")
    yield perpetual(draw, "QPENDING", 51.0, 1.0, status="PENDING_TRADING", **_tradfi_fields("EQUITY"))
    yield perpetual(draw, "HALTX", 0.07, 1.0, status="PRE_SETTLE")
    ended = replace(
        perpetual(draw, "ETH", 3050.0, 1.0), symbol="ETHUSDT_260925", pair="ETHUSDT", delivery_ms=1790323200000
    )
    yield replace(ended, contract_type="CURRENT_QUARTER DELIVERING", status="DELIVERING")


def _removed(draw: random.Random) -> Iterator[Contract]:
    """Seven of crypto and one of TradFi: a mark that stands still, and nothing else is known of them."""
    for number in range(7):
        yield perpetual(draw, names.made_up(21_000 + 11 * number), 10 ** draw.uniform(-3, 1), 1.0, status=REMOVED)
    yield perpetual(draw, "QREMOVED", 12.0, 1.0, status=REMOVED, **_tradfi_fields("EQUITY"))


def coin_m(draw: random.Random, marks: Mapping[str, float], now_ms: int) -> Iterator[Contract]:
    """The 30 COIN-M contracts that ride in the merged streams and nowhere else."""

    def one(base: str, end: str, kind: str, until_ms: int, usd_volume: float) -> Contract:
        size = 100 if base == "BTC" else 10
        return Contract(
            symbol=f"{base}USD_{end}",
            base_asset=base,
            quote_asset="USD",
            start_mark=marks[base],
            usd_volume=usd_volume,
            start_oi=usd_volume * draw.uniform(0.4, 0.9) / size,
            contract_type=kind,
            delivery_ms=until_ms,
            coin_m=True,
            pair=f"{base}USD",
        )

    for rank, base in enumerate(names.COIN_M_PERPETUALS, 1):
        yield one(base, "PERP", "PERPETUAL", FOR_EVER_MS, 9.7e8 * rank**-1.5)
    for kind, end in zip(("CURRENT_QUARTER", "NEXT_QUARTER"), quarter_ends(now_ms), strict=True):
        for base in names.COIN_M_QUARTERLIES:
            yield one(base, f"{end:%y%m%d}", kind, delivery_ms(end), 1.2e7)


def delivery_ms(day: date) -> int:
    """Delivery is at 08:00 UTC."""
    return int(datetime(day.year, day.month, day.day, 8, tzinfo=UTC).timestamp()) * 1000


def _tradfi_fields(kind: str) -> dict[str, object]:
    return {"contract_type": "TRADIFI_PERPETUAL", "underlying_type": kind, "underlying_subtypes": ("TradFi",)}


def _underlying(base: str) -> str:
    return "INDEX" if base in names.INDEXES else "PREMARKET" if base in names.PREMARKET else "COIN"


def _subtypes(base: str) -> tuple[str, ...]:
    if base in names.CHINESE:
        return ("Chinese", "Crypto")
    return {"BTC": ("PoW", "Crypto"), "ETH": ("Layer-1", "Crypto")}.get(base, ("Crypto",))


def _restart(contract: Contract, mark: float | None) -> Contract:
    """The same contract from a recorded mark, its open interest in USD unchanged."""
    if mark is None or mark <= 0:
        return contract
    return replace(contract, start_mark=mark, start_oi=contract.start_oi * contract.start_mark / mark)
