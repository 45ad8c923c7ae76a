"""How many rows one POST holds, and whether several POSTs make one batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.attempt import decode_kept
from services.publisher.join import Record
from services.publisher.limits import BatchLimits
from tests.builders import NOW_MS

AGAIN_MS = 600_000
ROWS = [Record(f"S{n}", 1.0, float(n + 1), 1.0, None) for n in range(10)]  # ascending notional


def learn(limits: BatchLimits, limit: int, rows: int, now_ms: int) -> int:
    """One batch in one POST at a backend that takes ``limit`` rows; returns how many it took."""
    while True:
        size = limits.size(rows, now_ms)
        if size <= limit:
            limits.taken(size)
            return size
        limits.too_large(size, now_ms)


@given(st.integers(1, 500), st.integers(1, 500))
def test_it_closes_in_on_the_limit_and_never_serves_less_again(limit: int, rows: int) -> None:
    """Halving alone settles at 85 rows where 150 would pass."""
    limits, best = BatchLimits(0), 0
    for n in range(12):
        taken = learn(limits, limit, rows, NOW_MS + n)
        assert taken >= best
        best = taken

    assert best * 17 >= 16 * min(limit, rows) - 17


@pytest.mark.parametrize(
    ("fits", "refused", "size"),
    [(160, 170, 160), (160, 171, 165), (5, 6, 5), (0, 2, 1), (200, 0, 300), (0, 400, 200)],
)
def test_a_limit_is_known_when_what_fits_and_what_is_refused_lie_close(fits: int, refused: int, size: int) -> None:
    """A sixteenth apart is close enough: each try more is a POST refused."""
    assert BatchLimits(0, fits, refused, NOW_MS).size(300, NOW_MS) == size


@pytest.mark.parametrize(
    ("rows", "known"),
    [(99, (99, 100)), (100, (100, 0)), (120, (120, 0))],
)
def test_what_is_taken_ends_a_limit_that_was_raised(rows: int, known: tuple[int, int]) -> None:
    limits = BatchLimits(0, 50, 100, NOW_MS)
    limits.taken(rows)

    assert (limits.fits, limits.refused) == known


@pytest.mark.parametrize(
    ("rows", "known"),
    [(120, (50, 100)), (80, (50, 80)), (50, (0, 50)), (40, (0, 40))],
)
def test_what_is_refused_ends_a_limit_that_was_lowered(rows: int, known: tuple[int, int]) -> None:
    limits = BatchLimits(0, 50, 100, NOW_MS - 1)
    limits.too_large(rows, NOW_MS)

    assert (limits.fits, limits.refused, limits.refused_ms) == (*known, NOW_MS)


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


@given(st.integers(0, 50), st.integers(0, 50))
def test_no_piece_is_empty_whatever_was_kept(fits: int, refused: int) -> None:
    """A hand wrote refused_rows: the publisher posted nothing for ever, without a pause."""
    assert BatchLimits(0, fits, refused, NOW_MS).size(10, NOW_MS) >= 1


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

    later.recall(decode_kept({name.encode(): str(value).encode() for name, value in limits.as_fields().items()}))

    assert later.as_fields() == limits.as_fields()
    assert later.size(10, NOW_MS + 20) == 5


def test_what_an_earlier_version_learned_is_taken_over() -> None:
    """It kept the half of what was refused, and whether the backend replaces."""
    limits = BatchLimits(0)
    stored = {b"max_rows": b"86", b"max_rows_ms": str(NOW_MS).encode(), b"replaces": b"1"}
    limits.recall(decode_kept(stored))

    assert (limits.merges, limits.fits, limits.refused) == ("no", 86, 172)
