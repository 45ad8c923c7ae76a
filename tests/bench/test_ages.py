"""How old what is held is: the figures that the freshness rows of the bench stand on."""

from __future__ import annotations

import pytest

from bench.ages import Seen, ages, whole_rounds


def test_a_value_ages_until_a_newer_one_replaces_it() -> None:
    seen = [Seen("A", 1000, 900), Seen("A", 11_000, 10_900), Seen("A", 21_000, 20_900)]
    found = ages(seen, 11_000, 31_000, step_ms=1000)
    assert found.worst_s == pytest.approx(10.1)
    assert found.median_s == pytest.approx(4.6)
    assert found.symbols == 1


def test_what_was_held_before_the_window_counts_in_it() -> None:
    """A symbol that is never asked again must be the worst, not absent."""
    seen = [Seen("A", 0, 0), *(Seen("B", at, at) for at in range(0, 10_000, 500))]
    assert ages(seen, 5000, 10_000).worst_s == pytest.approx(10.0)


def test_nothing_held_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no value"):
        ages([], 0, 1000)


def test_only_whole_rounds_are_judged() -> None:
    """Half a round more, and the young half would count twice."""
    seen = [Seen(symbol, at + late, at) for at in range(0, 60_000, 10_000) for symbol, late in (("A", 0), ("B", 300))]
    assert whole_rounds(seen, 5000, 46_000) == (10_000, 40_000)
    assert whole_rounds(seen, 12_000, 19_000) == (12_000, 19_000)


def test_a_pause_at_the_end_is_not_cut_away() -> None:
    """Refused with 429 and told to wait: nothing came until the window closed, and that is the worst age."""
    seen = [Seen("A", at, at) for at in (0, 5000, 10_000, 15_000)]
    assert whole_rounds(seen, 0, 55_000) == (0, 55_000)
    assert ages(seen, 0, 55_000).worst_s == 40
