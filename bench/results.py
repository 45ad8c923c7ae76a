"""The figures of one run: ours, the peers', and why one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.rows import BY_KEY, ROWS, Row

OURS, FLOOR = "ours", "bare libraries"


class NotThereError(Exception):
    """This peer cannot be measured here; the text says why."""


@dataclass
class Results:
    """``figures[row][who]``, in the unit of the row. ``notes`` are further figures worth keeping, by name."""

    figures: dict[str, dict[str, float]] = field(default_factory=lambda: {row.key: {} for row in ROWS})
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def ours(self, key: str, value: float) -> None:
        self.theirs(key, OURS, value)

    def theirs(self, key: str, who: str, value: float) -> None:
        self.figures[BY_KEY[key].key][who] = value

    @contextmanager
    def of(self, who: str, *keys: str) -> Iterator[None]:
        """A block that measures a peer; one that cannot be measured is named, with why."""
        try:
            yield
        except NotThereError as e:
            self.missing |= {f"{who}: {BY_KEY[key].what}": str(e) for key in keys}

    def met(self, row: Row) -> bool | None:
        """Whether ours reaches what it has to; None where it was not measured."""
        value = self.figures[row.key].get(OURS)
        return None if value is None else value <= row.reach

    def ratio(self, row: Row) -> float | None:
        """The best peer over ours: 4 is four times as good. The floor is no peer."""
        ours = self.figures[row.key].get(OURS)
        peers = [value for who, value in self.figures[row.key].items() if who not in (OURS, FLOOR)]
        if not ours or not peers:
            return None
        return min(peers) / ours
