"""What ``oi top`` shows: rows of the universe, and how a screen of any size holds them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from rich.cells import set_cell_size
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from cli.history import History
from cli.settings import Settings
from cli.show import DEGRADED, DOT, DOWN, GOOD, NONE, STYLE, UNKNOWN, age, money
from cli.state import Snapshot, older
from cli.status import Status
from shared.changes import Change, Changes
from shared.model import backend_key

HEAD_AND_FOOT = 4
Cell = tuple[str, str, bool, int]  # text, style, whether it stands at the left, how wide
LONG = 125  # the screen from which on changes over more than an hour are shown
TOLD_LATELY_S = 180.0  # twice a minute


class Row(msgspec.Struct, frozen=True, rename=lambda name: name.replace("age_s", "ageS").replace("_", "")):
    """``usd`` is what is served; changes are fractions; ``verdict``: the audit's word, or why it was left out."""

    symbol: str
    usd: float | None
    contracts: float | None
    mark: float | None
    funding: float | None
    change_5m: float | None
    change_15m: float | None
    change_1h: float | None
    age_s: float | None
    verdict: str
    state: str
    hour: str = ""
    change_4h: float | None = None
    change_24h: float | None = None
    change_7d: float | None = None


def rows(seen: Snapshot, settings: Settings, history: History, spark: int) -> list[Row]:
    """Every symbol of the universe, and what is served besides."""
    members = {backend_key(symbol) for symbol in seen.universe}
    ghosts = [key for key, row in seen.served.items() if key not in members and row.usd is not None]
    return [_row(symbol, seen, settings, history, spark) for symbol in (*seen.universe, *ghosts)]


def _row(symbol: str, seen: Snapshot, settings: Settings, history: History, spark: int) -> Row:
    served, mark, reading = seen.served.get(backend_key(symbol)), seen.marks.get(symbol), seen.contracts.get(symbol)
    usd = served.usd if served else None
    verdict = seen.left_out.get(symbol) or ("unverified" if seen.is_unseen else served.verdict if served else "")
    old_s = seen.age_s(reading.open_interest.received_ms) if reading else None
    old = older(old_s, settings.oi_max_age_s) or older(seen.batch_s, settings.verified_max_age_s)
    state = GOOD if verdict == "verified" and not old else DOWN if usd is None else DEGRADED
    return Row(
        symbol,
        usd,
        float(reading.open_interest.open_interest) if reading else None,
        float(mark.mark_price) if mark else None,
        float(mark.funding_rate) if mark and mark.funding_rate is not None else None,
        history.change(symbol, 5),
        history.change(symbol, 15),
        history.change(symbol, 60),
        old_s,
        verdict,
        state if verdict else UNKNOWN,
        history.sparkline(symbol, spark),
        *_changed(seen, seen.changes.get(symbol)),
    )


def _changed(seen: Snapshot, told: Changes | None) -> tuple[float | None, float | None, float | None]:
    """Over 4 h, 24 h and 7 d, as the keeper tells it; what it told long ago is no change of now."""
    if told is None or (seen.age_s(told.at) or 0) > TOLD_LATELY_S:
        return None, None, None
    return _fraction(told.h4), _fraction(told.h24), _fraction(told.d7)


def _fraction(told: Change | None) -> float | None:
    return None if told is None else told.change


def _price(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.{7 if value < 1 else max(2, 6 - len(str(int(value))))}f}"


def _percent(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{100 * value:+.{digits}f}"


def _rise(value: float | None) -> str:
    return "dim" if value is None else "green" if value > 0 else "red" if value < 0 else ""


def _trust(row: Row) -> str:
    return "" if row.state == GOOD else STYLE[row.state]


class Column(NamedTuple):
    """``wide``: the screen from which on it is shown; ``grow``: how many more cells it takes on a wide one."""

    title: str
    width: int
    cell: Callable[[Row], str]
    key: Callable[[Row], float | str | None]
    style: Callable[[Row], str] = lambda _: ""
    wide: int = 0
    grow: int = 0
    left: bool = False


def _percents(
    title: str, value: Callable[[Row], float | None], digits: int, width: int = 6, *, wide: int = 0, grow: int = 0
) -> Column:
    return Column(title, width, lambda r: _percent(value(r), digits), value, lambda r: _rise(value(r)), wide, grow)


COLUMNS = (
    Column("symbol", 12, lambda r: r.symbol, lambda r: r.symbol, lambda _: "bold", grow=6, left=True),
    Column("OI USD", 7, lambda r: money(r.usd), lambda r: r.usd, _trust, grow=2),
    Column("contracts", 10, lambda r: money(r.contracts), lambda r: r.contracts, wide=100),
    Column("mark", 9, lambda r: _price(r.mark), lambda r: r.mark, grow=2),
    _percents("fund%", lambda r: r.funding, 4, 7, grow=1),
    _percents("Δ5m%", lambda r: r.change_5m, 2, grow=1),
    _percents("Δ15m%", lambda r: r.change_15m, 2, grow=1),
    _percents("Δ1h%", lambda r: r.change_1h, 2, grow=1),
    _percents("Δ4h%", lambda r: r.change_4h, 1, wide=LONG),
    _percents("Δ24h%", lambda r: r.change_24h, 1, wide=LONG),
    _percents("Δ7d%", lambda r: r.change_7d, 1, wide=LONG),
    Column("1 h", 6, lambda r: r.hour, lambda r: r.change_1h, lambda _: "cyan", grow=54, left=True),
    Column("age", 4, lambda r: age(r.age_s), lambda r: r.age_s, _trust),
    Column(
        "verdict", 8, lambda r: r.verdict or NONE, lambda r: r.verdict, lambda r: STYLE[r.state], grow=12, left=True
    ),
)


class View(msgspec.Struct, frozen=True):
    """How a person looks at the table."""

    sort: int = 1
    down: bool = True
    pattern: str = ""
    typing: bool = False
    top: int = 0
    left: bool = False  # the person has gone


def press(view: View, key: str, page: int, count: int) -> View:
    """What a key does; of ``count`` rows, ``page`` fit on the screen."""
    view = _pressed(view, key, page)
    return msgspec.structs.replace(view, top=max(0, min(view.top, count - page)))


def _pressed(view: View, key: str, page: int) -> View:
    if view.typing:
        changes = {"enter": (view.pattern, False), "esc": ("", False), "back": (view.pattern[:-1], True)}
        more = view.pattern + key.upper() if len(key) == 1 and key.isprintable() else view.pattern
        pattern, typing = changes.get(key, (more, True))
        return msgspec.structs.replace(view, pattern=pattern, typing=typing, top=0)
    steps = {
        "up": -1,
        "k": -1,
        "down": 1,
        "j": 1,
        "pgup": -page,
        "pgdn": page,
        " ": page,
        "home": -(10**6),
        "end": 10**6,
    }
    sorts = {"left": -1, "<": -1, "right": 1, ">": 1, "s": 1}
    if key in steps:
        return msgspec.structs.replace(view, top=view.top + steps[key])
    if key in sorts:
        return msgspec.structs.replace(view, sort=(view.sort + sorts[key]) % len(COLUMNS), top=0)
    singles: dict[str, dict[str, Any]] = {
        "r": {"down": not view.down},
        "/": {"typing": True},
        "esc": {"pattern": "", "top": 0},
        "q": {"left": True},
    }
    return msgspec.structs.replace(view, **singles.get(key, {}))


def chosen(all_rows: Iterable[Row], view: View) -> list[Row]:
    """Filtered and sorted; what has no value stands last, whichever way."""
    key = COLUMNS[view.sort].key
    named = [row for row in all_rows if view.pattern in row.symbol or view.pattern.lower() in row.verdict]
    known = [row for row in named if key(row) is not None]
    # Texts read from A on when numbers read from the largest on.
    downward = view.down != isinstance(next((key(row) for row in known), 0.0), str)
    known.sort(key=lambda row: key(row), reverse=downward)  # type: ignore[arg-type, return-value]  # one type a column
    return known + [row for row in named if key(row) is None]


def widths(total: int) -> list[tuple[Column, int]]:
    """The columns that fit, and how wide each is: what is left goes to the reason first, to the hour last."""
    shown = [column for column in COLUMNS if column.wide <= total]
    over = max(0, total - sum(column.width + 1 for column in shown) + 1)
    fitted: dict[str, int] = {}
    for column in sorted(shown, key=lambda column: (column.title != "verdict", column.grow)):
        more = min(column.grow, over)
        over -= more
        fitted[column.title] = column.width + more
    return [(column, fitted[column.title]) for column in shown]


def page(height: int) -> int:
    """Rows of the table on a screen so high."""
    return max(1, height - HEAD_AND_FOOT)


def spark_width(total: int) -> int:
    return next(width for column, width in widths(total) if column.title == "1 h")


@dataclass(frozen=True)
class Screen:
    """One frame, exactly as wide and as high as the console. Rich's own tables would take fifteen times the CPU."""

    table: list[Row]
    view: View
    status: Status
    note: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        width, height = options.max_width, options.height or console.height
        picked, columns = chosen(self.table, self.view), widths(width)
        room = page(height)
        top = max(0, min(self.view.top, len(picked) - room))
        yield from self._head(width, len(picked))
        for row in picked[top : top + room]:
            yield from _line([(c.cell(row), c.style(row), c.left, w) for c, w in columns], width)
        for _ in range(room - len(picked)):
            yield Segment.line()
        yield from self._foot(width)

    def _head(self, width: int, count: int) -> Iterator[Segment]:
        total = money(sum(row.usd or 0 for row in self.table))
        state = self.status.state
        says = f"{self.status.at[11:19]} UTC  {count} of {len(self.table)} symbols  ${total} open interest"
        yield from _line([(f"{DOT[state]} {state}", STYLE[state], True, 11), (says, "", True, width - 12)], width)
        hops = [_sign(f"{DOT[hop.state]} {hop.hop}", hop.state) for hop in self.status.hops]
        yield from _line(hops if sum(hop[3] + 1 for hop in hops) <= width else self._few(), width)
        titles = [(self._title(c), "bold" if self._sorted(c) else "dim", c.left, w) for c, w in widths(width)]
        yield from _line(titles, width)

    def _few(self) -> list[Cell]:
        """On a narrow screen: the hops that are not well, and how many are."""
        odd = [hop for hop in self.status.hops if hop.state != GOOD]
        well = f"{DOT[GOOD]} {len(self.status.hops) - len(odd)} hops good"
        return [_sign(well, GOOD), *(_sign(f"{DOT[hop.state]} {hop.hop}", hop.state) for hop in odd)]

    def _sorted(self, column: Column) -> bool:
        return COLUMNS[self.view.sort] is column

    def _title(self, column: Column) -> str:
        return column.title + (("▼" if self.view.down else "▲") if self._sorted(column) else "")

    def _foot(self, width: int) -> Iterator[Segment]:
        keys = "←→ sort  r reverse  / filter  ↑↓ scroll  q quit"
        searching = self.view.typing or self.view.pattern
        text = f"/{self.view.pattern}" + ("▏" if self.view.typing else "") if searching else keys
        note = self.note or next((hop.cause for hop in self.status.hops if hop.state in {DOWN, DEGRADED}), "")
        line = f"{text}   {note}" if note else text
        yield Segment(set_cell_size(line, width), Style.parse("dim" if not note else "yellow"))


def _sign(text: str, state: str) -> Cell:
    return text, STYLE[state], True, len(text)


def _line(cells: list[Cell], width: int) -> Iterator[Segment]:
    """Side by side with a blank between, as far as there is room."""
    used = 0
    for n, (text, style, left, wide) in enumerate(cells):
        gap = 1 if n else 0
        wide = min(wide, width - used - gap)
        if wide < 1:
            break
        sized = set_cell_size(text, wide) if left or len(text) > wide else text.rjust(wide)
        yield Segment(" " * gap + sized, Style.parse(style) if style else None)
        used += gap + wide
    yield Segment.line()
