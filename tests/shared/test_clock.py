"""Instants as text: what stands in Redis and in the backend's bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import from_iso, iso

YEAR_2100_MS = 4_102_444_800_000


def test_an_instant_reads_as_utc_to_the_millisecond() -> None:
    """Operators compare these stamps with other hosts' logs; a local time would be a riddle."""
    assert iso(1_764_738_600_123) == "2025-12-03T05:10:00.123Z"
    assert iso(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, YEAR_2100_MS))
def test_every_millisecond_survives_the_way_through_text(ms: int) -> None:
    assert from_iso(iso(ms)) == ms


@pytest.mark.parametrize("text", ["2025-12-03T05:10:00Z", "2025-12-03T06:10:00+01:00", "2025-12-03T05:10:00.000000Z"])
def test_any_zone_is_understood(text: str) -> None:
    assert from_iso(text) == 1_764_738_600_000


@pytest.mark.parametrize("text", ["", "now", "2025-12-03", "2025-12-03T05:10:00", "1764738600000"])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    """It would be read as local time, and be right on the author's laptop only."""
    with pytest.raises(ValueError):
        from_iso(text)
