"""The state of the stand-in: contracts, market, overrides, limiter, counts, and the clock it stamps with.

Everything that serves a value asks here. Instants are Unix milliseconds of the stand-in's own clock, which
``clock_skew_ms`` moves away from the machine's.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dev.exchange import bodies, names, universe, values
from dev.exchange.faults import Faults
from dev.exchange.market import Book, steps
from dev.exchange.universe import Contract
from dev.exchange.values import Day24h, Quote, Tweaks
from dev.exchange.weights import Limiter, Rules


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stand-in can be told at its start."""

    seed: int = 1
    recorded: Mapping[str, float] | None = None
    weight_limit: int = 2400
    ban_after: int = 64
    ban_s: float = 120.0
    retry_after: bool = True
    ping_s: float = 180.0
    pong_timeout_s: float = 600.0
    lifetime_s: float = 86_400.0
    tradfi_phase_ms: int = 684
    clock_in_values: bool = False
    clock_rate: float = 1.0  # how much faster than the machine's the venue's clock runs from its start on


class Venue:
    """One venue, as of now."""

    def __init__(self, settings: Settings, wall: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._wall, self._started_s = wall, wall()
        self.clock_skew_ms = 0.0
        self.faults = Faults()
        self.tweaks = Tweaks()
        self.draw = random.Random(settings.seed)
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._listed = 0
        self._limit()
        self._fill()

    def _limit(self) -> None:
        s = self.settings
        self.limiter = Limiter(Rules(s.weight_limit, s.ban_after, s.ban_s, s.retry_after))

    def _fill(self) -> None:
        s, now_ms = self.settings, self.now_ms()
        self._altered = False
        self.books: dict[str, Book] = {}
        for contract in universe.build(s.seed, now_ms, s.recorded):
            self.books[contract.symbol] = self._book(contract, now_ms)
        self.changed()

    def _book(self, contract: Contract, now_ms: int) -> Book:
        """A book whose mark stands at the recorded price now, if there is one."""
        book = Book(contract, self.settings.seed)
        if contract.symbol in (self.settings.recorded or {}) and not book.frozen:
            book.mark0 *= contract.start_mark / book.mark_at(now_ms)
        return book

    def changed(self) -> None:
        """The contracts are not what they were: what was made of them is made anew."""
        self.info = bodies.exchange_info((b.contract for b in self.books.values()), self.limiter.rules.limit)
        self._quotes: dict[bool, tuple[int, list[Quote]]] = {}
        self._days: tuple[int, bytes] = (0, b"")

    def now_ms(self) -> int:
        elapsed_s = (self._wall() - self._started_s) * self.settings.clock_rate
        return int((self._started_s + elapsed_s) * 1000 + self.clock_skew_ms)

    def find(self, symbol: str) -> Book | None:
        """A contract of exchangeInfo; lower-case ASCII is as good as upper."""
        book = self.books.get(symbol) or self.books.get(symbol.upper())
        return book if book and book.contract.listed else None

    def quotes(self, at_ms: int, *, tradfi: bool) -> list[Quote]:
        """The rows of one of the two mark frames, at one instant."""
        made = self._quotes.get(tradfi)
        if made is None or made[0] != at_ms:
            where, tweaks, clock = steps(at_ms), self.tweaks, self.settings.clock_in_values
            found = [b for b in self.books.values() if b.contract.tradfi is tradfi]
            made = (at_ms, [values.quote(b, where, at_ms, tweaks, clock) for b in found])
            self._quotes[tradfi] = made
        return made[1]

    def forget_quotes(self) -> None:
        """An override has changed: the next rows must show it."""
        self._quotes.clear()
        self._days = (0, b"")

    def mark_time(self, now_ms: int, *, tradfi: bool) -> int:
        """When the last mark frame of a group was made: a whole second, or the phase of TradFi."""
        phase = self.settings.tradfi_phase_ms if tradfi else 0
        return (now_ms - phase) // 1000 * 1000 + phase

    def day(self, book: Book, now_ms: int) -> Day24h:
        return values.day(book, now_ms, self.tweaks)

    def premium_index(self) -> bytes:
        """All USDⓈ-M rows, delisted and removed ones included."""
        now_ms, rows = self.now_ms(), []
        for tradfi in (False, True):
            at_ms = self.mark_time(now_ms, tradfi=tradfi)
            rows += [bodies.premium_index(q, at_ms) for q in self.quotes(at_ms, tradfi=tradfi) if not q.coin_m]
        return f"[{','.join(rows)}]".encode()

    def premium_index_of(self, book: Book) -> bytes:
        tradfi = book.contract.tradfi
        at_ms = self.mark_time(self.now_ms(), tradfi=tradfi)
        row = values.quote(book, steps(at_ms), at_ms, self.tweaks, self.settings.clock_in_values)
        return bodies.premium_index(row, at_ms).encode()

    def tickers(self) -> bytes:
        """24 h statistics of the TRADING contracts, made at most once a second."""
        now_ms = self.now_ms()
        if abs(now_ms - self._days[0]) >= 1000:
            found = [b for b in self.books.values() if b.contract.trading and not b.contract.coin_m]
            rows = [bodies.ticker_24h(b.contract.symbol, self.day(b, now_ms)) for b in found]
            self._days = (now_ms, f"[{','.join(rows)}]".encode())
        return self._days[1]

    def open_interest(self, book: Book) -> bytes:
        now_ms = self.now_ms()
        value, changed_ms = values.open_interest(book, now_ms, self.tweaks, self.settings.clock_in_values)
        told = self.tweaks.times.get(book.contract.symbol, str(changed_ms))
        return bodies.open_interest(book.contract.symbol, value, told)

    def set_status(self, book: Book, status: str) -> None:
        """Delist, or anything else but TRADING: the mark freezes where it stands and the stream tells."""
        now_ms = self.now_ms()
        if status != "TRADING":
            book.freeze(book.mark(steps(now_ms)))
        ended = now_ms if status in ("SETTLING", "DELIVERING", "CLOSE") else book.contract.delivery_ms
        book.contract = replace(book.contract, status=status, delivery_ms=ended)
        self._altered = True
        self.changed()

    def list_new(self, symbol: str, usd_volume: float) -> str:
        """A new perpetual, trading from now; made-up name unless one is given, which a delisted one may have had."""
        taken = {b.contract.base_asset for b in self.books.values() if b.contract.trading}
        base = symbol.removesuffix("USDT")
        while not base or base in taken:
            self._listed += 1
            base = "N" + names.made_up(900 + 13 * self._listed)
        now_ms = self.now_ms()
        made = universe.perpetual(self.draw, base, 10 ** self.draw.uniform(-2, 1), usd_volume, onboard_ms=now_ms)
        self.books[made.symbol] = Book(made, self.settings.seed)
        self._altered = True
        return made.symbol

    def reset(self) -> None:
        """As after the start: contracts, values and limiter; counts stay."""
        self.tweaks.clear()
        self.clock_skew_ms = 0.0
        self._limit()
        if self._altered:
            self._fill()
        else:
            self.forget_quotes()
