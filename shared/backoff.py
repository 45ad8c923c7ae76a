"""How long to wait after a failure: capped, doubling, jittered, so that many clients do not return at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Each wait lies between half and the whole of a step that doubles up to ``cap_s``; jitter remains at the cap."""

    def __init__(self, first_s: float, cap_s: float, rand: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._step_s = first_s
        self._rand = rand

    def next_s(self) -> float:
        step_s = min(self._step_s, self._cap_s)
        self._step_s = min(step_s * 2, self._cap_s)
        return step_s * (0.5 + self._rand() / 2)

    def reset(self) -> None:
        """Only what proves the other side works may call this: a data frame, not a handshake."""
        self._step_s = self._first_s
