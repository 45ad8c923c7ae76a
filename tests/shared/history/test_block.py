"""Blocks: what goes in comes out, and what is no block is named."""

from __future__ import annotations

import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import WireError
from shared.history.block import Row, between, decode, encode, nearest
from tests.builders import NOW_MS

digits = st.text("0123456789", min_size=1, max_size=24)
decimals = st.builds(lambda whole, part: f"{whole}.{part}" if part else whole, digits, st.just("") | digits)
usual = st.integers(0, 10**15).map(lambda n: f"{n / 1000:.3f}")
rows = st.lists(
    st.builds(Row, st.integers(0, 4_133_980_799_999), usual | decimals, st.none() | usual | decimals), max_size=40
)


def numbers(row: Row) -> tuple[int, Decimal, Decimal | None]:
    return row.received_ms, Decimal(row.contracts), None if row.mark is None else Decimal(row.mark)


@given(rows)
def test_no_number_is_rounded_and_none_is_made_up(kept: list[Row]) -> None:
    told = decode(encode(kept))

    assert [numbers(row) for row in told] == [numbers(row) for row in kept]


def test_the_exchange_s_own_text_comes_back() -> None:
    """Of one symbol every number has as many decimals, and keeps its zeros."""
    kept = [Row(NOW_MS + n * 60_000, f"{82345 + n}.120", "93041.35202390" if n % 2 else None) for n in range(5)]

    assert list(decode(encode(kept))) == kept
    assert decode(encode(kept))[1:3] == kept[1:3]


def test_a_day_of_minutes_takes_a_fraction_of_its_rows() -> None:
    kept = [Row(NOW_MS + n * 60_000 + n % 7, f"{82345 + n % 90}.{n % 1000:03}", f"93041.{n:08}") for n in range(1440)]

    assert len(encode(kept)) < 12 * len(kept)


@given(st.binary(max_size=80) | st.builds(zlib.compress, st.binary(max_size=80)))
def test_what_is_no_block_is_named(blob: bytes) -> None:
    with pytest.raises(WireError, match="stored_block"):
        decode(blob)


@given(rows, st.integers(0, 4_133_980_799_999), st.integers(0, 4_133_980_799_999))
def test_a_part_of_a_block_is_that_part_of_its_rows(kept: list[Row], one: int, other: int) -> None:
    told = decode(encode(sorted(kept, key=lambda row: row.received_ms)))
    first, end = min(one, other), max(one, other)

    assert list(between(told, first, end)) == [row for row in told if first <= row.received_ms < end]


@pytest.mark.parametrize(("target", "found"), [(0, 100), (140, 100), (150, 100), (151, 200), (999, 300)])
def test_the_nearest_is_the_older_of_two_as_near(target: int, found: int) -> None:
    kept = [Row(at, "1", None) for at in (100, 200, 300)]

    assert nearest(decode(encode(kept)), target) == nearest(kept, target) == Row(found, "1", None)
    assert nearest([], target) is None
