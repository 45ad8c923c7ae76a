"""How many rows one POST holds, and whether several POSTs make one batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.attempt import decode_kept
from services.publisher.join import Record
from services.publisher.limits import AGAIN_MS, BatchLimits
from shared.errors import Refused
from tests.builders import NOW_MS

ROWS = [Record(f"S{n}", 1.0, float(n + 1), 1.0, None) for n in range(10)]  # ascending notional


def learn(limits: BatchLimits, limit: int, rows: int, now_ms: int) -> int:
    """One batch in one POST at a backend that takes ``limit`` rows; returns how many it took."""
    while True:
        size = limits.size(rows, now_ms)
        if size <= limit:
            limits.taken(size)
            return size
        limits.too_large(size, now_ms)


def test_everything_goes_in_one_post_until_something_is_known() -> None:
    limits = BatchLimits(0)

    assert limits.size(10, NOW_MS) == 10
    assert limits.choose(ROWS, NOW_MS) == ROWS


@given(st.integers(1, 500), st.integers(1, 500))
def test_it_closes_in_on_the_limit_and_never_serves_less_again(limit: int, rows: int) -> None:
    """Halving alone settles at 85 rows where 150 would pass."""
    limits, best = BatchLimits(0), 0
    for n in range(12):
        taken = learn(limits, limit, rows, NOW_MS + n)
        assert taken >= best
        best = taken

    assert best * 17 >= 16 * min(limit, rows) - 17


def test_a_raised_limit_is_found_when_it_is_tried_again() -> None:
    limits = BatchLimits(0)
    for n in range(12):
        learn(limits, 5, 10, NOW_MS + n)
    assert learn(limits, 10, 10, NOW_MS + AGAIN_MS - 1) < 10

    assert learn(limits, 10, 10, NOW_MS + AGAIN_MS + 12) == 10
    assert limits.size(10, NOW_MS + AGAIN_MS + 13) == 10


def test_trying_again_in_vain_costs_one_refusal() -> None:
    limits = BatchLimits(0)
    for n in range(12):
        learn(limits, 5, 10, NOW_MS + n)
    limits.try_again()
    assert limits.size(10, NOW_MS + 20) == 10
    limits.too_large(10, NOW_MS + 20)

    assert limits.size(10, NOW_MS + 21) == 5


def test_a_clock_set_back_keeps_nothing_from_being_tried() -> None:
    limits = BatchLimits(0)
    limits.too_large(10, NOW_MS)

    assert limits.size(10, NOW_MS - 3_600_000) == 10


def test_a_single_row_that_is_too_large_says_so() -> None:
    with pytest.raises(Refused, match="single row"):
        BatchLimits(0).too_large(1, NOW_MS)


def test_a_replacing_backend_gets_no_pieces_by_choice() -> None:
    limits = BatchLimits(configured=4)
    assert limits.size(10, NOW_MS) == 4
    limits.merges = "no"

    assert limits.size(10, NOW_MS) == 10
    assert limits.choose(ROWS, NOW_MS) == ROWS


def test_a_replacing_backend_with_a_limit_gets_the_largest_and_now_and_then_a_trial() -> None:
    limits = BatchLimits(0)
    limits.merges = "no"
    for n in range(12):
        learn(limits, 3, 10, NOW_MS + n)

    trial, usual = limits.choose(ROWS, NOW_MS + 13), limits.choose(ROWS, NOW_MS + 14)

    assert [row.symbol for row in usual] == ["S7", "S8", "S9"]
    assert [row.symbol for row in trial] == ["S6", "S8", "S9"]  # S7, not sent, tells whether it stays
    assert len(limits.choose(ROWS, NOW_MS + 13 + AGAIN_MS)) == 10  # the limit itself is tried again


def test_it_takes_two_looks_to_learn_that_it_replaces_and_one_that_it_merges() -> None:
    limits = BatchLimits(0)
    limits.saw(merged=False)
    assert limits.merges == "unknown"
    limits.saw(merged=False)
    assert limits.merges == "no"
    limits.saw(merged=True)
    assert limits.merges == "yes"


def test_what_was_learned_outlives_the_process() -> None:
    limits, later = BatchLimits(0), BatchLimits(0)
    limits.merges = "no"
    for n in range(12):
        learn(limits, 5, 10, NOW_MS + n)

    later.recall(decode_kept({name.encode(): value.encode() for name, value in limits.as_fields().items()}))

    assert later.as_fields() == limits.as_fields()
    assert later.size(10, NOW_MS + 20) == 5


def test_what_an_earlier_version_learned_is_taken_over() -> None:
    """It kept the half of what was refused, and whether the backend replaces."""
    limits = BatchLimits(0)
    stored = {b"max_rows": b"86", b"max_rows_ms": str(NOW_MS).encode(), b"replaces": b"1"}
    limits.recall(decode_kept(stored))

    assert (limits.merges, limits.fits, limits.refused) == ("no", 86, 172)
