"""One merged state: newest event time wins, a frame never replaces another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ws_daemon.latest import GONE_MS, STUCK_MS, Latest
from shared.venues.binance.frames import decode_frame
from tests.builders import NOW_MS, mark_text, volume
from tests.shared.venues.binance.rows import frame, mark_row, mini_row, ticker_row


def test_two_frames_of_a_second_are_merged() -> None:
    """Crypto and TradFi come apart; replacing the map by the last frame would lose the other."""
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("BTCUSDT"), mark_row("ETHUSDT"))), NOW_MS)
    latest.merge(decode_frame(frame(mark_row("XAUUSDT", event_ms=NOW_MS - 316))), NOW_MS)

    assert set(latest.marks) == {"BTCUSDT", "ETHUSDT", "XAUUSDT"}


def test_coin_m_rows_are_dropped() -> None:
    """Their contracts are worth 100 or 10 USD: contracts times mark would mean nothing."""
    latest = Latest()
    merged = latest.merge(decode_frame(frame(mark_row("BTCUSD_PERP", st=2), mini_row("BTCUSD_PERP", st="2"))), NOW_MS)

    assert (latest.marks, latest.volumes, merged.coin_m) == ({}, {}, 2)


def test_out_of_order_rows_are_ignored() -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row(price="2", event_ms=NOW_MS))), NOW_MS)

    merged = latest.merge(decode_frame(frame(mark_row(price="1", event_ms=NOW_MS - 1000))), NOW_MS + 5)

    assert latest.marks["BTCUSDT"].mark_price == "2"
    assert (merged.out_of_order, merged.new) == (1, 0)


def test_an_event_time_from_the_future_does_not_block_a_symbol_for_ever() -> None:
    """A clock that jumped ahead and came back would otherwise silence every symbol until it was overtaken."""
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row(price="2", event_ms=NOW_MS + 90_000))), NOW_MS)
    late = decode_frame(frame(mark_row(price="1", event_ms=NOW_MS + STUCK_MS)))

    latest.merge(late, NOW_MS + STUCK_MS)
    assert latest.marks["BTCUSDT"].mark_price == "2"
    latest.merge(late, NOW_MS + STUCK_MS + 1)
    assert latest.marks["BTCUSDT"].mark_price == "1"


def test_a_bad_row_is_named_and_costs_only_itself() -> None:
    latest = Latest()
    rows = (
        mark_row("BADUSDT", "NaN"),
        mark_row("BTCUSDT"),
        ticker_row(),
        mini_row("BTCUSDT", "-1"),
        mini_row("ETHUSDT"),
    )

    merged = latest.merge(decode_frame(frame(*rows)), NOW_MS)

    assert (set(latest.marks), set(latest.volumes)) == ({"BTCUSDT"}, {"ETHUSDT"})
    assert sorted(e.reason for e in merged.bad) == ["bad_mark", "bad_volume", "unknown_event"]


def test_changes_are_what_redis_has_not_been_told() -> None:
    latest = Latest()
    latest.recall({"OLDUSDT": mark_text()}, {"OLDUSDT": volume("OLDUSDT")})
    latest.merge(decode_frame(frame(mark_row("BTCUSDT"), mini_row("BTCUSDT"))), NOW_MS)

    changes = latest.take_changes()

    assert (set(changes.marks), set(changes.volumes)) == ({"BTCUSDT"}, {"BTCUSDT"})
    assert latest.take_changes() == ({}, {}, set(), 2, 2)
    latest.all_changed(set())
    assert set(latest.take_changes().marks) == {"BTCUSDT", "OLDUSDT"}


def test_a_symbol_gone_for_ten_minutes_is_forgotten() -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("GONEUSDT"), mini_row("GONEUSDT"))), NOW_MS)
    end_ms = NOW_MS + GONE_MS + 1000
    for now_ms in range(NOW_MS, end_ms + 1, 1000):
        latest.merge(decode_frame(frame(mark_row("BTCUSDT", event_ms=now_ms))), now_ms)
        assert latest.forget_gone(now_ms) == ({"GONEUSDT"} if now_ms == end_ms else set())

    assert (set(latest.marks), set(latest.volumes)) == ({"BTCUSDT"}, set())
    assert latest.take_changes().gone == {"GONEUSDT"}


def test_a_symbol_that_came_back_before_its_removal_was_written_stays() -> None:
    latest = Latest()
    latest.all_changed({"BACKUSDT", "GONEUSDT"})  # as after a failed write
    latest.merge(decode_frame(frame(mark_row("BACKUSDT"))), NOW_MS)

    changes = latest.take_changes()

    assert (set(changes.marks), changes.gone) == ({"BACKUSDT"}, {"GONEUSDT"})


def test_what_was_forgotten_before_it_was_written_is_not_written_any_more() -> None:
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("GONEUSDT"), mini_row("GONEUSDT"))), NOW_MS)
    for now_ms in range(NOW_MS, NOW_MS + GONE_MS + 2000, 1000):
        latest.merge(decode_frame(frame(mark_row("BTCUSDT", event_ms=now_ms))), now_ms)
        latest.forget_gone(now_ms)

    changes = latest.take_changes()

    assert (set(changes.marks), changes.volumes, changes.gone) == ({"BTCUSDT"}, {}, {"GONEUSDT"})


def test_an_outage_of_the_feed_forgets_nobody() -> None:
    """After an hour of silence the first frame must not make all symbols of the other frame look gone."""
    latest = Latest()
    latest.merge(decode_frame(frame(mark_row("BTCUSDT"), mark_row("XAUUSDT"))), NOW_MS)
    later_ms = NOW_MS + 3_600_000

    assert latest.forget_gone(later_ms) == set()
    latest.merge(decode_frame(frame(mark_row("BTCUSDT", event_ms=later_ms))), later_ms)
    assert latest.forget_gone(later_ms) == set()


@given(
    st.lists(
        st.tuples(st.sampled_from(["AUSDT", "BUSDT"]), st.integers(0, 9), st.integers(1, 99)),
        max_size=40,
    )
)
def test_the_newest_event_time_wins_in_any_order(events: list[tuple[str, int, int]]) -> None:
    """Two connections deliver the same rows in any interleaving; an obvious reference agrees."""
    latest = Latest()
    newest: dict[str, tuple[int, int]] = {}
    for symbol, second, price in events:
        latest.merge(decode_frame(frame(mark_row(symbol, str(price), NOW_MS + second * 1000))), NOW_MS)
        if symbol not in newest or second > newest[symbol][0]:
            newest[symbol] = (second, price)

    assert {s: m.mark_price for s, m in latest.marks.items()} == {s: str(p) for s, (_, p) in newest.items()}
