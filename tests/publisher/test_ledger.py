"""What the backend may serve of ours; whose doing a value is hangs on it."""

from __future__ import annotations

from services.publisher.ledger import ADOPT_AFTER_MS, Ledger
from shared.model import Served
from tests.builders import NOW_MS


def test_what_is_served_at_the_first_look_is_nobodys_fault() -> None:
    """Of what is known already it is known still since when it is served."""
    ledger = Ledger()
    ledger.recall({"KNOWN": Served(1.0, NOW_MS - 9, "kept"), "GONE": Served(2.0, NOW_MS - 9, "kept")}, {})
    ledger.adopt({"KNOWN": 1.0, "GONE": 3.0, "NEW": 4.0}, NOW_MS)

    assert [ledger.is_ours(key, usd) for key, usd in (("KNOWN", 1.0), ("GONE", 3.0), ("NEW", 4.0))] == [True] * 3
    assert [ledger.since_ms(key, NOW_MS) for key in ("KNOWN", "GONE", "NEW")] == [NOW_MS - 9, NOW_MS, NOW_MS]


def test_the_last_few_values_sent_are_ours_and_no_more() -> None:
    """A late reader of an edge serves the batch before; what is older than four batches is somebody's copy."""
    ledger = Ledger()
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        ledger.add_sent({"A": value})

    assert [ledger.is_ours("A", value) for value in (1.0, 2.0, 3.0, 4.0, 5.0)] == [False, True, True, True, True]


def test_a_batch_that_is_posted_again_drives_out_no_earlier_value() -> None:
    """Accepted and not served it goes out four times; one before it may still take effect."""
    ledger = Ledger()
    for value in (1.0, 2.0, 2.0, 2.0, 2.0):
        ledger.add_sent({"A": value})

    assert ledger.is_ours("A", 1.0)
    assert ledger.sent == {"A": [1.0, 2.0]}


def test_a_foreign_value_that_went_and_came_back_has_not_stood_still() -> None:
    """Only what stood for ten minutes is taken for a leftover; another writer comes and goes.

    A merging backend never forgets it; an alarm nobody can clear would be ignored.
    """
    ledger = Ledger()
    ledger.see({"X": 5.0}, {"X"}, {"A"}, NOW_MS)
    ledger.see({}, set(), {"A"}, NOW_MS + 1000)

    ledger.see({"X": 5.0}, {"X"}, {"A"}, NOW_MS + 600_000)
    assert not ledger.is_ours("X", 5.0)
    assert ledger.since_ms("X", NOW_MS + 600_000) == NOW_MS + 600_000

    ledger.see({"X": 5.0}, {"X"}, {"A"}, NOW_MS + 1_199_999)
    assert not ledger.is_ours("X", 5.0)
    ledger.see({"X": 5.0}, {"X"}, {"A"}, NOW_MS + 1_200_000)
    assert ledger.is_ours("X", 5.0)


def test_what_was_seen_is_forgotten_and_what_was_sent_is_not() -> None:
    """A look may come before a slow POST has taken effect: its value is ours, though its symbol has left by then."""
    ledger = Ledger()
    ledger.add_sent({"OLD": 1.0, "KEPT": 2.0})
    ledger.see({"OLD": 7.0, "KEPT": 8.0}, set(), {"A"}, NOW_MS)

    ledger.see({}, set(), {"A", "KEPT"}, NOW_MS + 1000)

    assert [ledger.is_ours("OLD", usd) for usd in (1.0, 7.0)] == [True, False]
    assert [ledger.is_ours("KEPT", usd) for usd in (2.0, 8.0)] == [True, True]


def test_a_restart_remembers_what_was_served_of_ours() -> None:
    ledger = Ledger()
    rows = {"A": (1.0, "verified"), "B": (2.0, "foreign"), "C": (None, "missing")}
    ledger.recall({key: Served(usd, NOW_MS, verdict) for key, (usd, verdict) in rows.items()}, {"C": [3.0]})

    served = (("A", 1.0), ("B", 2.0), ("C", 1.0), ("C", 3.0))
    assert [ledger.is_ours(key, usd) for key, usd in served] == [True, False, False, True]


def test_a_foreign_value_inside_the_universe_never_becomes_ours() -> None:
    ledger = Ledger()
    for moment in (NOW_MS, NOW_MS + 2 * ADOPT_AFTER_MS):
        ledger.see({"A": 5.0}, {"A"}, {"A"}, moment)

    assert not ledger.is_ours("A", 5.0)


def test_a_value_that_changed_stands_since_then() -> None:
    ledger = Ledger()
    ledger.see({"A": 1.0}, set(), {"A"}, NOW_MS)
    ledger.see({"A": 1.0}, set(), {"A"}, NOW_MS + 1000)
    assert ledger.since_ms("A", NOW_MS + 1000) == NOW_MS

    ledger.see({"A": 2.0}, set(), {"A"}, NOW_MS + 2000)

    assert ledger.since_ms("A", NOW_MS + 3000) == NOW_MS + 2000
    assert ledger.since_ms("NEVER", NOW_MS + 3000) == NOW_MS + 3000
