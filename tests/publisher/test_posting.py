"""How many rows one POST holds."""

from __future__ import annotations

import pytest

from services.publisher.join import Record
from services.publisher.posting import FORGET_MS, Sizes
from shared.errors import Refused
from tests.builders import NOW_MS

ROWS = [Record(f"S{n}", 1.0, float(n + 1), 1.0, None) for n in range(10)]  # ascending notional


def test_everything_goes_in_one_post_until_something_is_known() -> None:
    sizes = Sizes(0)

    assert sizes.limit(NOW_MS) == 0
    assert sizes.choose(ROWS, NOW_MS) == ROWS


def test_a_refused_size_is_halved_and_forgotten_after_an_hour() -> None:
    """Somebody may have raised the limit meanwhile."""
    sizes = Sizes(0)

    assert sizes.shrink(343, NOW_MS) == 172
    assert sizes.shrink(172, NOW_MS) == 86
    assert sizes.limit(NOW_MS + FORGET_MS - 1) == 86
    assert sizes.limit(NOW_MS + FORGET_MS) == 0


def test_halving_ends_at_one_row_and_says_so() -> None:
    sizes = Sizes(0)
    rows = 343
    while rows > 1:
        rows = sizes.shrink(rows, NOW_MS)

    with pytest.raises(Refused, match="single row"):
        sizes.shrink(1, NOW_MS)


def test_a_replacing_backend_gets_no_pieces_by_choice() -> None:
    sizes = Sizes(configured=4)
    assert sizes.limit(NOW_MS) == 4
    sizes.replaces = True

    assert sizes.limit(NOW_MS) == 0
    assert sizes.choose(ROWS, NOW_MS) == ROWS


def test_a_replacing_backend_with_a_limit_gets_the_largest() -> None:
    sizes = Sizes(0)
    sizes.replaces = True
    sizes.shrink(6, NOW_MS)

    assert [row.symbol for row in sizes.choose(ROWS, NOW_MS)] == ["S7", "S8", "S9"]


def test_of_a_configured_and_a_learned_size_the_smaller_counts() -> None:
    sizes = Sizes(configured=4)
    sizes.shrink(20, NOW_MS)
    assert sizes.limit(NOW_MS) == 4
    sizes.shrink(4, NOW_MS)
    assert sizes.limit(NOW_MS) == 2
