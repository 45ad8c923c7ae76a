"""Ids of stream entries, as somebody may have written them down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.sweeplog import entry_order, read_entry_id


@given(st.binary(max_size=50) | st.from_regex(rb"\A[0-9]+-[0-9]+\Z") | st.none())
def test_any_bytes_are_an_entry_id_or_none(blob: bytes | None) -> None:
    found = read_entry_id(blob)
    if found is not None:
        assert found.encode() == blob
        assert min(entry_order(found)) >= 0


def test_an_id_is_read_as_it_stands() -> None:
    assert read_entry_id(b"1764720012000-3") == "1764720012000-3"
    assert [read_entry_id(blob) for blob in (None, b"", b"1764720012000", b"x-1", b"1-1 ", b"-1-1")] == [None] * 6


def test_entry_ids_are_ordered_as_numbers() -> None:
    ids = ["9-10", "9-9", "10-0", "0-0"]
    assert sorted(ids, key=entry_order) == ["0-0", "9-9", "9-10", "10-0"]
