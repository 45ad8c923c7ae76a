"""What the stand-in says at one instant: the market's values with the overrides in force. Pure, given the time.

Values are kept as JSON tokens (``"93041.35202399"`` with its quotes), because an override may be any JSON at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from dev.exchange.market import DAY_MS, Book, Steps, steps

NO_FUNDING = '"0.00000000"'


class Quote(NamedTuple):
    """One contract's row of the mark stream and of premiumIndex; tokens are JSON."""

    symbol: str
    mark: str
    index_price: str
    settle: str
    funding: str
    next_funding_ms: int
    coin_m: bool
    tradfi: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A change of open interest staged over a time: +5 per cent over 60 s, and it stays there."""

    percent: float
    from_ms: int
    over_ms: int

    def factor(self, now_ms: int) -> float:
        share = 1.0 if self.over_ms <= 0 else min(1.0, max(0.0, (now_ms - self.from_ms) / self.over_ms))
        return 1 + self.percent / 100 * share

    def running(self, now_ms: int) -> bool:
        return now_ms <= self.from_ms + self.over_ms + 2000


@dataclass(slots=True)
class Tweaks:
    """Overrides by symbol: JSON tokens, USD volumes, staged moves."""

    marks: dict[str, str] = field(default_factory=dict)
    interests: dict[str, str] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, float] = field(default_factory=dict)
    moves: dict[str, list[Move]] = field(default_factory=dict)

    def clear(self) -> None:
        for table in (self.marks, self.interests, self.times, self.volumes, self.moves):
            table.clear()


def token(value: object) -> str:
    """Any value as JSON; strings come out quoted, so ``"NaN"`` is a string and 12.5 a number."""
    return json.dumps(value, ensure_ascii=False)


def clocked(level: float, at_ms: int) -> str:
    """A value that carries a clock: whole part below a million, decimals = milliseconds of the UTC day / 1e8."""
    return f"{max(1, int(level) % 1_000_000)}.{int(at_ms) % DAY_MS:08d}"


def made_ms(value: float | str, near_ms: int) -> int:
    """When a value that carries a clock was made: the instant closest to ``near_ms`` with that time of day."""
    of_day = round(float(value) % 1 * 1e8)
    return of_day + DAY_MS * round((near_ms - of_day) / DAY_MS)


def quote(book: Book, where: Steps, at_ms: int, tweaks: Tweaks, clock_in_values: bool) -> Quote:
    """One row; delisted contracts keep a frozen mark and settle at zero."""
    c = book.contract
    mark = book.mark(where)
    text = f'"{clocked(mark, at_ms)}"' if clock_in_values else f'"{mark:.8f}"'
    if tweaks.marks:
        text = tweaks.marks.get(c.symbol, text)
    if book.frozen:
        return Quote(c.symbol, text, text, NO_FUNDING, *_funding(book, at_ms), c.coin_m, c.tradfi)
    index = mark * (1 + (book.phase_ms % 997 - 498) * 1e-6)
    settle = index * (1 + (book.phase_ms % 89 - 44) * 1e-6)
    funding, next_ms = _funding(book, at_ms)
    return Quote(c.symbol, text, f'"{index:.8f}"', f'"{settle:.8f}"', funding, next_ms, c.coin_m, c.tradfi)


def _funding(book: Book, at_ms: int) -> tuple[str, int]:
    """Funding rate token and next funding time; quarterlies, and a third of the delisted, pay none."""
    if "QUARTER" in book.contract.contract_type or (book.frozen and book.phase_ms % 3 == 0):
        return NO_FUNDING, 0
    minute = at_ms // 60_000
    if book.funding_minute != minute:
        walk = book.volume_walk.once(minute * 60_000) * 0.004
        book.funding_minute, book.funding_token = minute, f'"{0.0 if book.frozen else 0.00005 + walk:.8f}"'
    return book.funding_token, (at_ms // book.funding_ms + 1) * book.funding_ms


def open_interest(book: Book, now_ms: int, tweaks: Tweaks, clock_in_values: bool) -> tuple[str, int]:
    """The JSON token of ``openInterest`` and its last-change time."""
    symbol, decimals = book.contract.symbol, book.contract.quantity_decimals
    if symbol in tweaks.interests:
        return tweaks.interests[symbol], book.oi_changed_ms(now_ms)
    if clock_in_values:
        return f'"{clocked(book.contract.start_oi, now_ms)}"', now_ms
    level, changed = book.oi_now(now_ms), book.oi_changed_ms(now_ms)
    for move in tweaks.moves.get(symbol, ()):
        level *= move.factor(now_ms)
        changed = now_ms if move.running(now_ms) else changed
    return f'"{level:.{decimals}f}"', changed


class Day24h(NamedTuple):
    """24 h statistics of one contract, in the texts of the ticker bodies."""

    last: str
    open: str
    high: str
    low: str
    change: str
    percent: str
    average: str
    base_volume: str
    quote_volume: str
    last_quantity: str
    trades: int
    first_id: int
    close_ms: int


def day(book: Book, now_ms: int, tweaks: Tweaks) -> Day24h:
    """COIN-M tells volume in contracts and quote volume in base coins; ETHBTC tells quote volume in BTC."""
    c, where, seen = book.contract, steps(now_ms), book.statistics(now_ms)
    d, q = c.price_decimals, c.quantity_decimals
    last = book.mark(where) * (1 + (now_ms // 1000 * 7 % 11 - 5) * 1e-5)
    high, low = max(seen.high, last), min(seen.low, last)
    average = (seen.open + high + low + last) / 4
    usd = tweaks.volumes.get(c.symbol) or book.volume(where)
    if c.coin_m:
        base, quoted = usd / (100 if c.base_asset == "BTC" else 10), f"{usd / average:.1f}"
    else:
        worth = usd / 90_000 if c.quote_asset == "BTC" else usd
        base, quoted = worth / average, f"{worth:.{min(8, d + q)}f}"
    count = max(1, int(usd / 4000))
    traded = now_ms - (now_ms - book.phase_ms) % book.trade_every_ms
    return Day24h(
        last=f"{last:.{d}f}",
        open=f"{seen.open:.{d}f}",
        high=f"{high:.{d}f}",
        low=f"{low:.{d}f}",
        change=f"{last - seen.open:.{d}f}",
        percent=f"{(last / seen.open - 1) * 100:.3f}",
        average=f"{average:.{8 if c.coin_m else d}f}",
        base_volume=f"{base:.{q}f}",
        quote_volume=quoted,
        last_quantity=f"{max(base / count / 3, 10**-q):.{q}f}",
        trades=count,
        first_id=book.phase_ms * 1000,
        close_ms=int(traded),
    )
