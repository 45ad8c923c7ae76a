"""How long a loop waits before it knocks again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff


@pytest.mark.parametrize(
    ("rand", "waits"),
    [
        (0.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]),
        (0.5, [0.75, 1.5, 3.0, 6.0, 7.5, 7.5]),
        (1.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
    ],
)
def test_waits_double_up_to_the_cap(rand: float, waits: list[float]) -> None:
    """A server that comes back must not be forgotten for an hour, nor find everybody at the door in the same instant:
    jitter remains at the cap.
    """
    backoff = Backoff(1.0, 10.0, rand=lambda: rand)

    assert [backoff.next_s() for _ in waits] == waits


@given(
    st.floats(0.01, 100),
    st.floats(0.01, 1000),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans()), max_size=40),
)
def test_every_wait_lies_between_half_and_the_whole_of_its_step(
    first_s: float, cap_s: float, moves: list[tuple[float, bool]]
) -> None:
    """Never zero (a tight loop against a server that drops us), never over the cap; proof starts anew."""
    roll = 0.0
    backoff = Backoff(first_s, cap_s, rand=lambda: roll)
    failures = 0
    for rolled, proved in moves:
        roll = rolled
        if proved:
            backoff.reset()
            failures = 0
        step_s = min(first_s * 2**failures, cap_s)
        assert step_s / 2 <= backoff.next_s() <= step_s
        failures += 1
