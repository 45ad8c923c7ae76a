"""Whatever stands in oi:publisher, it is read: what cannot be used counts as not known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.publisher.attempt import Attempt, decode_kept
from shared.sweeplog import entry_order
from tests.builders import NOW_MS

FIELDS = ["attempt", "delivered", "waiting", "doubted", "max_rows", "max_rows_ms", "refused_rows", "refused_ms"]
FIELDS += ["merges", "post_s", "duplicates", "sent"]
NAMES = st.sampled_from([name.encode() for name in FIELDS]) | st.binary(max_size=20)
NUMBERS = st.floats().map(lambda number: str(number).encode())


def attempt(entry_id: str = "1-0") -> Attempt:
    return Attempt(entry_id, "s", NOW_MS, NOW_MS, 1.0, None, {"A": 1.5}, ["B"], {"C-D": "stale_mark"}, ["E"])


@given(st.dictionaries(NAMES, st.binary(max_size=60) | NUMBERS))
def test_any_hash_is_read(stored: dict[bytes, bytes]) -> None:
    kept = decode_kept(stored)

    assert min(entry_order(kept.delivered_id)) >= 0
    assert kept.waiting == sorted(set(kept.waiting), key=entry_order)
    assert kept.merges in {"yes", "no", "unknown"}
    assert kept.attempt is None
    assert isinstance(kept.sent, dict)
    numbers = (kept.max_rows, kept.refused_rows, kept.refused_ms, kept.post_s, kept.duplicates)
    assert all(0 <= number < float("inf") for number in numbers)


@pytest.mark.parametrize("value", [b"", b"x", b"nan", b"inf", b"{"])
def test_what_a_hand_wrote_there_is_learned_anew(value: bytes) -> None:
    """A crash over one field would be a crash at every start."""
    assert decode_kept(dict.fromkeys(map(str.encode, FIELDS), value)) == decode_kept({})


@given(st.builds(attempt, st.sampled_from(["1-0", "1764720012000-12"])))
def test_an_attempt_comes_back_as_it_was_kept(one: Attempt) -> None:
    assert decode_kept({b"attempt": msgspec.json.encode(one)}).attempt == one


def test_an_attempt_on_no_entry_is_none() -> None:
    """It could never be acknowledged: Redis would refuse the id for ever."""
    for entry_id in ("", "x", "1", "1-", "-1"):
        assert decode_kept({b"attempt": msgspec.json.encode(attempt(entry_id))}).attempt is None


def test_an_attempt_of_a_version_without_the_newest_field_is_read() -> None:
    document = msgspec.to_builtins(attempt())
    del document["received"], document["posts"]

    assert decode_kept({b"attempt": msgspec.json.encode(document)}).attempt == attempt()
