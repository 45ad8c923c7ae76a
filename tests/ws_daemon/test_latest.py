"""One merged state: newest event time wins, a frame never replaces another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ws_daemon.latest import GONE_MS, Latest, Merged
from shared.venues.binance.frames import decode_frame
from tests.builders import NOW_MS, mark_text, volume
from tests.shared.venues.binance.rows import frame, mark_row, mini_row, ticker_row


def test_changes_are_what_redis_has_not_been_told() -> None:
    latest = Latest()
    latest.recall({"OLDUSDT": mark_text()}, {"OLDUSDT": volume("OLDUSDT")})
    latest.merge(decode_frame(frame(mark_row("BTCUSDT"), mini_row("BTCUSDT"))), NOW_MS)

    changes = latest.take_changes()

    assert (set(changes.marks), set(changes.volumes)) == ({"BTCUSDT"}, {"BTCUSDT"})
    assert latest.take_changes() == ({}, {}, set(), 2, 2)
    latest.all_changed(set())
    assert set(latest.take_changes().marks) == {"BTCUSDT", "OLDUSDT"}


def test_what_came_while_redis_was_asked_is_newer_than_what_it_held() -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row(price="2"), mini_row("BTCUSDT", "6"))), NOW_MS)
    latest.recall({"BTCUSDT": mark_text()}, {"BTCUSDT": volume()})

    assert (latest.marks["BTCUSDT"].mark_price, latest.volumes["BTCUSDT"].quote_volume) == ("2", 6)


def test_a_symbol_that_came_back_before_its_removal_was_written_stays() -> None:
    latest = Latest()
    latest.all_changed({"BACKUSDT", "GONEUSDT"})  # as after a failed write
    latest.merge(decode_frame(frame(mark_row("BACKUSDT"))), NOW_MS)

    changes = latest.take_changes()

    assert (set(changes.marks), changes.gone) == ({"BACKUSDT"}, {"GONEUSDT"})


@given(
    st.lists(
        st.tuples(st.sampled_from(["AUSDT", "BUSDT"]), st.integers(0, 9), st.integers(1, 99)),
        max_size=40,
    )
)
def test_the_newest_event_time_wins_in_any_order(events: list[tuple[str, int, int]]) -> None:
    """Two connections deliver the same rows in any interleaving, and no frame takes the place of another's symbols."""
    latest = Latest()
    newest: dict[str, tuple[int, int]] = {}
    for symbol, second, price in events:
        latest.merge(decode_frame(frame(mark_row(symbol, str(price), NOW_MS + second * 1000))), NOW_MS)
        if symbol not in newest or second > newest[symbol][0]:
            newest[symbol] = (second, price)

    assert {s: m.mark_price for s, m in latest.marks.items()} == {s: str(p) for s, (_, p) in newest.items()}


def test_what_a_frame_brought_is_counted_and_a_bad_row_costs_only_itself() -> None:
    """COIN-M rows are none of ours: their contracts are worth 100 or 10 USD, and times a mark mean nothing."""
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("OLDUSDT", "2"), mark_row("SAMEUSDT"))), NOW_MS)
    rows = (
        mark_row("BADUSDT", "NaN", event_ms=NOW_MS + 2000),
        mark_row("BTCUSDT", event_ms=NOW_MS + 2000),
        mark_row("ETHUSDT", event_ms=NOW_MS + 1000),
        mark_row("SAMEUSDT"),
        mark_row("OLDUSDT", "1", event_ms=NOW_MS - 1000),
        mark_row("BTCUSD_PERP", st=2),
        mini_row("BTCUSD_PERP", st="2"),
        mini_row("BTCUSDT"),
        mini_row("ETHUSDT"),
        mini_row("BADUSDT", "-1"),
        ticker_row(),
    )

    merged = latest.merge(decode_frame(frame(*rows)), NOW_MS + 2500)

    assert sorted(e.reason for e in merged.bad) == ["bad_mark", "bad_volume", "unknown_event"]
    assert merged == Merged(
        marks={"BTCUSDT", "ETHUSDT", "SAMEUSDT", "OLDUSDT"},
        volumes=2,
        newest_event_ms=NOW_MS + 2000,
        new=2,
        repeated=1,
        out_of_order=1,
        coin_m=2,
        refused=3,
        why=str(merged.bad[0]),
        bad=merged.bad,
    )
    assert (latest.marks.keys(), latest.volumes.keys()) == (merged.marks, {"BTCUSDT", "ETHUSDT"})
    assert latest.marks["OLDUSDT"].mark_price == "2"
    assert latest.merge(decode_frame(frame()), NOW_MS + 2600) == Merged()


def test_of_volumes_the_newest_event_time_wins_too() -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mini_row("BTCUSDT", "5", event_ms=NOW_MS))), NOW_MS)
    latest.take_changes()

    for event_ms in (NOW_MS, NOW_MS - 1000):  # the other connection's, and one out of order
        latest.merge(decode_frame(frame(mini_row("BTCUSDT", "4", event_ms=event_ms))), NOW_MS)
        assert latest.take_changes().volumes == {}
    latest.merge(decode_frame(frame(mini_row("BTCUSDT", "6", event_ms=NOW_MS + 1))), NOW_MS)

    assert latest.take_changes().volumes == {"BTCUSDT": volume("BTCUSDT", "6", NOW_MS + 1)}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_volume_from_the_future_does_not_stand_for_ever(restarted: bool) -> None:
    """One row with a wrong time fixed a symbol's liquidity, over restarts too: polled for ever, or never again."""
    latest = Latest()
    latest.merge(decode_frame(frame(mini_row("BTCUSDT", "5", event_ms=4_000_000_000_000))), NOW_MS)
    if restarted:
        before, latest = latest, Latest()
        latest.recall({}, before.volumes)
    latest.merge(decode_frame(frame(mini_row("BTCUSDT", "6", event_ms=NOW_MS + 1))), NOW_MS)

    assert latest.take_changes().volumes["BTCUSDT"] == volume("BTCUSDT", "6", NOW_MS + 1)


def test_symbols_that_are_made_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are known go on; each beyond the ceiling is refused and named."""
    monkeypatch.setattr("services.ws_daemon.latest.MOST_SYMBOLS", 1)
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("BTCUSDT"), mini_row("BTCUSDT"))), NOW_MS)
    rows = (mark_row("XUSDT"), mini_row("XUSDT"), mark_row("BTCUSDT", "7", event_ms=NOW_MS + 1000))

    merged = latest.merge(decode_frame(frame(*rows)), NOW_MS + 1000)

    assert [str(e) for e in merged.bad] == ["too_many_symbols: XUSDT"] * 2
    assert (set(latest.marks), set(latest.volumes)) == ({"BTCUSDT"}, {"BTCUSDT"})
    assert latest.marks["BTCUSDT"].mark_price == "7"


def feed(latest: Latest, from_s: float, until_s: float, *rows: str) -> None:
    """A mark row of each of these symbols every second."""
    ms = NOW_MS + round(from_s * 1000)
    while ms <= NOW_MS + until_s * 1000:
        latest.merge(decode_frame(frame(*(mark_row(symbol, event_ms=ms) for symbol in rows))), ms)
        ms += 1000


@pytest.mark.parametrize(("pause_s", "gone"), [(30.0, {"GONEUSDT"}), (30.001, set())])
def test_a_feed_that_paused_for_longer_than_half_a_minute_must_prove_anew_who_is_gone(
    pause_s: float, gone: set[str]
) -> None:
    latest = Latest()
    feed(latest, 0, 0, "BTCUSDT", "GONEUSDT")
    feed(latest, 1, 300, "BTCUSDT")
    feed(latest, 300 + pause_s, 601, "BTCUSDT")

    assert latest.forget_gone(NOW_MS + 601_000) == gone
    feed(latest, 602, 931, "BTCUSDT")
    latest.forget_gone(NOW_MS + 931_000)
    assert set(latest.marks) == {"BTCUSDT"}


@pytest.mark.parametrize(("silent_s", "gone"), [(30.0, {"GONEUSDT"}), (30.001, set())])
def test_nobody_is_forgotten_while_no_mark_comes(silent_s: float, gone: set[str]) -> None:
    """Volumes that go on prove nothing of marks."""
    latest = Latest()
    feed(latest, 0, 0, "BTCUSDT", "GONEUSDT")
    feed(latest, 1, 601, "BTCUSDT")
    latest.merge(decode_frame(frame(mini_row("BTCUSDT", event_ms=NOW_MS + 620_000))), NOW_MS + 620_000)

    assert latest.forget_gone(NOW_MS + 601_000 + round(silent_s * 1000)) == gone


def test_a_symbol_gone_for_ten_minutes_is_forgotten_and_what_was_not_written_of_it_too() -> None:
    latest = Latest()
    feed(latest, 0, 0, "BTCUSDT", "GONEUSDT")
    latest.merge(decode_frame(frame(mini_row("GONEUSDT"))), NOW_MS)
    feed(latest, 1, 600, "BTCUSDT")

    assert latest.forget_gone(NOW_MS + GONE_MS) == set()
    assert latest.forget_gone(NOW_MS + GONE_MS + 1) == {"GONEUSDT"}
    assert (set(latest.marks), set(latest.volumes)) == ({"BTCUSDT"}, set())
    changes = latest.take_changes()
    assert (set(changes.marks), changes.volumes, changes.gone) == ({"BTCUSDT"}, {}, {"GONEUSDT"})


def test_a_time_that_nothing_matched_for_ten_seconds_was_wrong() -> None:
    """A clock that jumped ahead and came back would otherwise silence every symbol until it was overtaken."""
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row(price="2", event_ms=NOW_MS + 90_000))), NOW_MS)

    for after_ms, price in ((10_000, "2"), (10_001, "1")):
        latest.merge(decode_frame(frame(mark_row(price="1", event_ms=NOW_MS + after_ms))), NOW_MS + after_ms)
        assert latest.marks["BTCUSDT"].mark_price == price


@pytest.mark.parametrize("stands_at", [[0], [0, -1000], [0, -2000, -1000]])
def test_frames_that_stand_still_are_neither_alive_nor_news(stands_at: list[int]) -> None:
    """A stuck edge repeats its last frame; two of them, stuck at different ones, made each other's price new for ever.

    What came last may be younger than either: premiumIndex, before it failed too.
    """
    latest = Latest()
    for second in range(60):
        rows = [decode_frame(frame(mark_row(event_ms=NOW_MS + event_ms))) for event_ms in stands_at]
        merged = [latest.merge(one, NOW_MS + second * 1000) for one in rows]
        assert bool(merged[0].marks) is (second <= 5)
        assert [one.new for one in merged] == [int(second == 0), *[0] * (len(rows) - 1)]
        assert second <= 5 or merged[0].why == f"BTCUSDT is {second} s behind"

    assert latest.marks["BTCUSDT"].received_ms == NOW_MS


@pytest.mark.parametrize(("behind_ms", "alive"), [(5000, True), (5001, False)])
def test_a_feed_that_is_far_behind_another_shows_nothing(behind_ms: int, alive: bool) -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row())), NOW_MS)

    merged = latest.merge(decode_frame(frame(mark_row(event_ms=NOW_MS - behind_ms))), NOW_MS + 10)

    assert (merged.marks, merged.refused, merged.out_of_order) == ({"BTCUSDT"} if alive else set(), int(not alive), 1)
