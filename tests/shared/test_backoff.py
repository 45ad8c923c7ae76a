"""How long a loop waits before it knocks again."""

from __future__ import annotations

import pytest

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

    for _ in range(2):
        assert [backoff.next_s() for _ in waits] == waits
        backoff.reset()
