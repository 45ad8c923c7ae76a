"""A connection is judged by the symbols that tick; a price that stands still is flagged."""

from __future__ import annotations

from services.ws_daemon.coverage import FROZEN_MS, Coverage, Frozen
from tests.builders import NOW_MS, mark_text

FULL = {f"S{n:03}USDT" for n in range(100)}
HALF = set(sorted(FULL)[:50])
OTHER_HALF = FULL - HALF


def test_a_half_mute_connection_is_ended() -> None:
    coverage = Coverage()
    assert coverage.judge(FULL) is None
    assert coverage.judge(set(sorted(FULL)[:95])) is None
    assert "only 50 of 100 symbols ticked: S050USDT," in str(coverage.judge(HALF))


def test_the_same_smaller_set_on_a_fresh_connection_is_the_new_normal() -> None:
    """The exchange may delist many at once: no reconnect loop."""
    coverage = Coverage()
    coverage.judge(FULL)
    assert coverage.judge(HALF) is not None
    assert coverage.judge(HALF) is None
    assert coverage.judge(HALF) is None
    assert coverage.normal == HALF


def test_another_smaller_set_is_not() -> None:
    coverage = Coverage()
    coverage.judge(FULL)
    assert coverage.judge(HALF) is not None
    assert coverage.judge(OTHER_HALF) is not None


def test_listings_grow_what_is_normal_and_departures_shrink_it() -> None:
    coverage = Coverage()
    coverage.judge(HALF)
    coverage.judge(FULL)
    assert coverage.normal == FULL
    coverage.forget(OTHER_HALF)
    assert coverage.judge(HALF) is None


def test_a_price_that_stands_still_while_its_peers_move_is_flagged() -> None:
    frozen = Frozen()
    names = ["AUSDT", "BUSDT", "CUSDT"]
    for step in range(FROZEN_MS // 30_000 + 1):
        event_ms = NOW_MS + step * 30_000
        marks = {s: mark_text("5" if s == "AUSDT" else str(10 + step), event_ms) for s in names}
        marks["DELISTEDUSDT"] = mark_text("1", event_ms)
        found = frozen.look(marks, set(names))
        assert found == ({"AUSDT"} if step * 30_000 >= FROZEN_MS else set())


def test_a_market_that_stands_still_flags_nobody() -> None:
    frozen = Frozen()
    for step in range(30):
        marks = {s: mark_text("5", NOW_MS + step * 30_000) for s in ("AUSDT", "BUSDT")}
        assert frozen.look(marks, set(marks)) == set()
