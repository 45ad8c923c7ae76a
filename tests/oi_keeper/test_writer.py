"""What gets into the file, and what a day becomes when it is over; time passed in."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.oi_keeper.schema import open_to_write
from services.oi_keeper.writer import KEPT_DAYS, MINUTES_KEPT_DAYS, OPEN_MS, Reading, Writer
from shared.history.block import Column, Row
from shared.history.file import DAY_MS, MINUTE_MS, Series
from shared.history.read import HALF_HOUR_MS, first_of_each, minutes_of, nearest_of_all, rows_of

BTC = Series("BTCUSDT", 1_567_965_420_000)
ETH = Series("ETHUSDT", 1_567_965_420_000)
DAY = 20_424
START = DAY * DAY_MS
OVER = START + DAY_MS + OPEN_MS


@pytest.fixture
def writer() -> Iterator[Writer]:
    with contextlib.closing(open_to_write(":memory:")) as db:
        yield Writer(db)


def row(at_ms: int, contracts: str = "82345.120", mark: str | None = "93041.35202390") -> Row:
    return Row(at_ms, contracts, mark)


def a_day(every_ms: int = MINUTE_MS, day: int = DAY) -> list[Row]:
    return [row(day * DAY_MS + at, f"{1000 + at // MINUTE_MS}.5", "1.10") for at in range(3000, DAY_MS, every_ms)]


def kept(writer: Writer, series: Series = BTC, from_ms: int = 0, to_ms: int = 10**15, step_s: int = 60) -> list[Row]:
    number = writer.numbers[series]
    return rows_of(writer.db, number, from_ms, to_ms, step_s)


def test_of_each_minute_the_first_is_kept_whatever_the_start(writer: Writer) -> None:
    """A sweep that is read again after a crash adds nothing, and changes nothing. No mark stays none, zero zero."""
    first, second, third = row(START + 4000), row(START + 14_000, "0.000", None), row(START + 64_000, "2.000")

    assert writer.add([Reading(BTC, first), Reading(BTC, second), Reading(ETH, second)]) == 2
    assert writer.add([Reading(BTC, third)]) == 1
    assert Writer(writer.db).add([Reading(BTC, second), Reading(BTC, third)]) == 0
    assert kept(writer) == [first, third]
    assert kept(writer, ETH) == [second]


def test_a_day_that_is_over_becomes_blocks_of_the_same_rows(writer: Writer) -> None:
    rows, late = a_day(), row(START + DAY_MS + 1000)
    writer.add([*(Reading(BTC, one) for one in rows), Reading(ETH, rows[7]), Reading(BTC, late)])

    assert writer.over(OVER - 1) is None
    assert writer.over(OVER) == DAY
    before = {step_s: kept(writer, step_s=step_s) for step_s in (60, 300, 3600)}
    writer.fold(DAY)

    assert writer.over(OVER) is None
    assert before[60] == [*rows, late]
    assert before[300] == [*rows[::5], late]
    assert {step_s: kept(writer, step_s=step_s) for step_s in before} == before
    assert kept(writer, ETH) == [rows[7]]
    assert kept(writer, from_ms=START + 600_000, to_ms=START + 780_000) == rows[10:13]


class Killed(Exception):
    """In place of kill -9."""


@pytest.mark.parametrize("after", range(1, 48, 5))
def test_a_fold_that_was_cut_off_anywhere_is_done_again(writer: Writer, after: int) -> None:
    """One transaction for the blocks here, 45 for the rows that go."""
    rows = a_day()
    writer.add([Reading(BTC, one) for one in rows])
    left = [after]

    class Dying(Writer):
        def _transaction(self):  # type: ignore[no-untyped-def]
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return super()._transaction()

    try:
        Dying(writer.db).fold(DAY)
    except Killed:
        assert kept(writer) == rows
    again = Writer(writer.db)
    while again.over(OVER) is not None:
        again.fold(DAY)
    assert kept(again) == rows


class Between(sqlite3.Connection):
    """Something else happens before its n-th question."""

    happens: Callable[[], None]
    before = -1

    def execute(self, *question: Any) -> sqlite3.Cursor:
        self.before -= 1
        if not self.before:
            self.happens()
        return super().execute(*question)


@pytest.mark.parametrize("before", range(1, 6))
def test_who_reads_while_a_day_becomes_blocks_misses_no_row(tmp_path: Path, before: int) -> None:
    rows, path = a_day(), str(tmp_path / "history.db")
    with (
        contextlib.closing(open_to_write(path)) as db,
        contextlib.closing(sqlite3.connect(path, factory=Between)) as reader,
    ):
        writer = Writer(db)
        writer.add([Reading(BTC, one) for one in rows])
        reader.before, reader.happens = before, lambda: writer.fold(DAY)

        assert rows_of(reader, writer.numbers[BTC], START, START + DAY_MS) == rows


def test_minutes_are_kept_eight_days_and_five_minutes_four_hundred(writer: Writer) -> None:
    writer.add([Reading(BTC, one) for one in a_day(300_000 // 2)])
    writer.fold(DAY)
    minutes, fives = kept(writer), kept(writer, step_s=300)
    assert len(minutes) == 2 * len(fives)

    writer.let_go(START + MINUTES_KEPT_DAYS * DAY_MS)
    assert kept(writer) == minutes
    writer.let_go(START + (MINUTES_KEPT_DAYS + 1) * DAY_MS)
    assert kept(writer) == fives, "a finer step gets what there is"
    writer.let_go(START + KEPT_DAYS * DAY_MS)
    assert kept(writer) == fives
    writer.let_go(START + (KEPT_DAYS + 1) * DAY_MS)
    assert kept(writer) == []


def test_a_clock_that_is_years_ahead_costs_one_day_and_no_more(writer: Writer) -> None:
    """What was kept for a year must not go because a machine came up with a wrong clock."""
    for day in range(3):
        writer.add([Reading(BTC, one) for one in a_day(3_600_000, DAY + day)])
        writer.fold(DAY + day)
    hours = [Row(START + day * DAY_MS + 1_800_000, "1", "2", ours=False) for day in range(3)]
    writer.told(ETH, hours, START + 3 * DAY_MS)

    writer.let_go(START + 3000 * DAY_MS)

    for step_s in (60, 300):
        assert kept(writer, step_s=step_s) == a_day(3_600_000, DAY + 1) + a_day(3_600_000, DAY + 2)
    assert kept(writer, ETH) == hours[1:]


def test_rows_of_a_time_that_is_still_to_come_are_let_go_before_it_comes(writer: Writer) -> None:
    """Kept by an older release, by a clock that was ahead. Of a clock that is behind the cost is one day."""
    real = [one for day in range(3) for one in a_day(3_600_000, DAY + day)]
    false = [one for day in (30, 31, 90) for one in a_day(3_600_000, DAY + day)]
    writer.add(Reading(BTC, one) for one in [*real, *false])
    for day in (30, 31):
        writer.fold(DAY + day)
    for day in range(3):
        writer.fold(DAY + day)
        writer.let_go(OVER + day * DAY_MS)

    assert kept(writer) == real
    writer.let_go(START - 900 * DAY_MS)
    assert kept(writer) == real[:48]


def test_the_nearest_of_all_is_found_in_rows_and_in_blocks(writer: Writer) -> None:
    rows, today = a_day(), [row(START + DAY_MS + at) for at in range(3000, 600_000, MINUTE_MS)]
    writer.add([*(Reading(BTC, one) for one in rows + today), Reading(ETH, today[0])])
    btc, eth = writer.numbers[BTC], writer.numbers[ETH]
    writer.fold(DAY)

    assert nearest_of_all(writer.db, START + 7_203_000, 60_000) == {btc: rows[120]}
    assert nearest_of_all(writer.db, START + DAY_MS + 62_000, 30_000) == {btc: today[1]}
    assert nearest_of_all(writer.db, START + DAY_MS + 3000, 120_000) == {btc: today[0], eth: today[0]}
    assert nearest_of_all(writer.db, START - DAY_MS, 1_800_000) == {}


def test_single_minutes_are_found_in_rows_and_in_blocks(writer: Writer) -> None:
    rows, today = a_day(), [row(START + DAY_MS + at) for at in range(3000, 600_000, 2 * MINUTE_MS)]
    writer.add([Reading(BTC, one) for one in [*rows, *today]])
    minute = START // MINUTE_MS
    wanted = {minute + 7, minute + 1439, minute - 1, minute + 1440, minute + 1441, minute + 1442}
    told = [Row(one * MINUTE_MS, "1", None, ours=False) for one in wanted]
    now_ms = START + DAY_MS + 5 * MINUTE_MS
    assert writer.told(BTC, told, now_ms) == [rows[7], rows[1439], today[0], today[1]]
    writer.fold(DAY)

    assert writer.told(BTC, told, now_ms) == [rows[7], rows[1439], today[0], today[1]]
    assert writer.told(ETH, told, now_ms) == []
    assert writer.told(BTC, told, now_ms + DAY_MS) == [], "what is older was compared before"


@given(st.data())
def test_the_nearest_of_all_agrees_with_a_look_at_every_row(data: st.DataObject) -> None:
    """In minutes with gaps, more than one series, at any instant and tolerance."""
    with contextlib.closing(open_to_write(":memory:")) as db:
        writer = Writer(db)
        offsets = st.sets(st.integers(0, 120 * MINUTE_MS), max_size=12)
        rows = {series: [row(START + at) for at in sorted(data.draw(offsets))] for series in (BTC, ETH)}
        writer.add(Reading(series, one) for series, found in rows.items() for one in found)
        kept = {number: list(minutes_of(db, number, START, START + DAY_MS)) for number in writer.numbers.values()}
        target_ms = START + data.draw(st.integers(0, 120 * MINUTE_MS))
        tolerance_ms = data.draw(st.integers(MINUTE_MS, HALF_HOUR_MS))
        off = {n: [abs(one.received_ms - target_ms) for one in found] for n, found in kept.items()}
        least = {n: min(each) for n, each in off.items() if each and min(each) <= tolerance_ms}

        found = nearest_of_all(db, target_ms, tolerance_ms)
        assert {n: abs(one.received_ms - target_ms) for n, one in found.items()} == least


about_an_hour = st.builds(lambda hour, off: 60 * hour + off, st.integers(22, 26), st.integers(-31, 31))


@example(seen={1410}, one=1411, other=1441, fold=True)
@example(seen={1470}, one=1440, other=1441, fold=False)
@given(st.sets(about_an_hour, max_size=4), about_an_hour, about_an_hour, st.booleans())
def test_a_part_of_the_past_is_that_part_of_the_whole(seen: set[int], one: int, other: int, fold: bool) -> None:
    """Also where the exchange's statistic stands beside what was seen just outside of the part."""
    with contextlib.closing(open_to_write(":memory:")) as db:
        writer = Writer(db)
        writer.add(Reading(BTC, row(START + minute * MINUTE_MS)) for minute in sorted(seen))
        writer.told(BTC, [Row(START + n * 3_600_000, "1", "2", ours=False) for n in range(40)], START)
        if fold:
            writer.fold(DAY)
        first, last = (START + minute * MINUTE_MS for minute in sorted((one, other)))

        whole = kept(writer)
        assert kept(writer, from_ms=first, to_ms=last) == [r for r in whole if first <= r.received_ms < last]


SERIES = (BTC, Series("BTCUSDT", START + 7), ETH)
instants = st.builds(
    lambda minute, off_ms: START + minute * MINUTE_MS + off_ms,
    st.sampled_from([0, 1, 2, 4, 5, 30, 31, 1437, 1438, 1439, 1440, 1441, 1445, 2879]),
    st.integers(0, MINUTE_MS - 1),
)
added = st.tuples(st.just("add"), st.lists(st.tuples(st.sampled_from(SERIES), instants), max_size=6))
told = st.tuples(st.just("told"), st.tuples(st.sampled_from(SERIES), st.lists(st.integers(0, 47), max_size=3)))
steps = added | told | st.just(("restart", None)) | st.tuples(st.just("fold"), st.sampled_from([DAY, DAY + 1]))


@given(st.lists(steps, max_size=12))
def test_whatever_comes_and_when_agrees_with_an_obvious_reference(happened: list[tuple[str, Any]]) -> None:
    """Of each minute what came first; the exchange's hours where there is nothing for half an hour around them."""
    with contextlib.closing(open_to_write(":memory:")) as db:
        writer, seen, hours = Writer(db), dict[tuple[Series, int], Row](), set[tuple[Series, int]]()
        for what, of in happened:
            if what == "add":
                readings = [Reading(series, row(at_ms, f"{len(seen)}.{n}")) for n, (series, at_ms) in enumerate(of)]
                writer.add(readings)
                for series, one in readings:
                    seen.setdefault((series, one.received_ms // MINUTE_MS), one)
            elif what == "told":
                series, at_ms = of[0], [START + hour * 3_600_000 for hour in of[1]]
                writer.told(series, [Row(at, "9.0", "2.0", ours=False) for at in at_ms], START)
                hours |= {(series, at) for at in at_ms}
            elif what == "fold":
                writer.fold(of)
            else:
                writer = Writer(db)
        for series in writer.numbers:
            ours = [one for (whose, _), one in seen.items() if whose == series]
            alone = [
                at
                for whose, at in hours
                if whose == series
                if all(abs(one.received_ms - at) > HALF_HOUR_MS for one in ours)
            ]
            want = sorted([*ours, *(Row(at, "9.0", "2.0", ours=False) for at in alone)])
            for step_s in (60, 300, 3600):
                assert kept(writer, series, step_s=step_s) == first_of_each(want, step_s)


def test_a_base_is_the_exchange_s_only_where_nobody_saw_anything_around_it(writer: Writer) -> None:
    """Twenty minutes without a row are a gap, in what is compared as in what is shown."""
    hour = START + 3_600_000
    seen = [row(hour + minute * MINUTE_MS) for minute in (-15, 5)]
    writer.told(BTC, [Row(hour, "1", "2", ours=False)], START)
    number = writer.numbers[BTC]
    assert nearest_of_all(writer.db, hour - 3 * MINUTE_MS, 450_000) == {number: Row(hour, "1", "2", ours=False)}
    writer.add(Reading(BTC, one) for one in seen)

    assert nearest_of_all(writer.db, hour - 3 * MINUTE_MS, 450_000) == {}
    writer.fold(DAY)
    assert nearest_of_all(writer.db, hour - 3 * MINUTE_MS, 450_000) == {}


def test_a_look_at_all_is_not_longer_for_a_year_of_the_statistic(writer: Writer) -> None:
    """It is taken six times every half minute; counted in hundreds of SQLite's own steps, not in time."""
    hours = [Row(START + n * 3_600_000, "1", "2", ours=False) for n in range(9600)]

    def steps() -> int:
        counted: list[None] = []
        writer.db.set_progress_handler(lambda: counted.append(None), 100)
        assert nearest_of_all(writer.db, START + 3_600_000, HALF_HOUR_MS) == {1: hours[1]}
        writer.db.set_progress_handler(None, 0)
        return len(counted)

    writer.told(BTC, hours[:168], START)
    a_week = steps()
    writer.told(BTC, hours, START)
    assert steps() <= a_week + 1


def test_a_look_at_all_across_a_gap_makes_no_day_of_rows(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day before has a gap for as long as it lasted: of each series the rows around it decide, and no others."""
    gap = START + 12 * 3_600_000
    writer.add(Reading(BTC, one) for one in a_day() if abs(one.received_ms - gap) > 40 * MINUTE_MS)
    writer.told(BTC, [Row(gap, "1", "2", ours=False)], START)
    writer.fold(DAY)
    texts, text = list[int](), Column.text
    monkeypatch.setattr(Column, "text", lambda column, i: texts.append(i) or text(column, i))

    assert nearest_of_all(writer.db, gap, HALF_HOUR_MS) == {1: Row(gap, "1", "2", ours=False)}
    assert len(texts) < 200


def test_the_minutes_between_two_instants_are_no_others(writer: Writer) -> None:
    """Also where every row is of a clock that was ahead, or behind."""
    writer.add([Reading(BTC, row(START + at)) for at in (0, MINUTE_MS)])

    assert list(minutes_of(writer.db, 1, START - 9 * MINUTE_MS, START - MINUTE_MS)) == []
    assert list(minutes_of(writer.db, 1, START + 2 * MINUTE_MS, START + 9 * MINUTE_MS)) == []
    assert list(minutes_of(writer.db, 1, START - MINUTE_MS, START)) == [row(START)]


def test_how_far_back_it_reaches(writer: Writer) -> None:
    assert writer.oldest_ms() == 0
    writer.add([Reading(BTC, row(START + DAY_MS + 90_000))])
    assert writer.oldest_ms() == START + DAY_MS + 60_000
    writer.add([Reading(BTC, one) for one in a_day(3_600_000)])
    writer.fold(DAY)
    assert writer.oldest_ms() == START


def test_the_exchange_s_statistic_stands_where_nobody_saw_anything_and_nowhere_else(writer: Writer) -> None:
    hour = 3_600_000
    told = [Row(START + n * hour, f"{n}.5", "2.0", ours=False) for n in range(6)]
    seen = [row(START + 2 * hour + HALF_HOUR_MS + 1), row(START + 3 * hour + 20_000), row(START + 4 * hour - 60_000)]
    writer.add([Reading(BTC, one) for one in seen])
    overlap = writer.told(BTC, told, START + DAY_MS - 1)
    number = writer.numbers[BTC]

    assert overlap == [seen[1]], "of the minutes of which both tell"
    assert kept(writer) == [told[0], told[1], told[2], *seen, told[5]]
    assert nearest_of_all(writer.db, START + 2 * hour, HALF_HOUR_MS) == {number: told[2]}
    assert nearest_of_all(writer.db, START + 3 * hour, HALF_HOUR_MS) == {number: seen[1]}, "ours, where there is one"
    writer.fold(DAY)
    assert kept(writer) == [told[0], told[1], told[2], *seen, told[5]], "no statistic becomes a row of ours"
    assert writer.asked() == {BTC: START + DAY_MS - 1}
    writer.let_go(START + (KEPT_DAYS + 1) * DAY_MS)
    assert kept(writer) == []
