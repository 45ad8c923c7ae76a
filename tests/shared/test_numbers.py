"""The one gate through which a price or a quantity enters."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.numbers import LATEST_MS, are_plain, finite, instant, non_negative, plain, positive, whole

PLAIN_TEXT = st.from_regex(r"-?(0|[1-9][0-9]{0,23})(\.[0-9]{1,24})?", fullmatch=True)
NEAR_NUMBERS = st.text(alphabet="0123456789.-+_eE ,NaInfity０１٣\n\0", max_size=60)

NOT_PLAIN = [
    *("", " ", "NaN", "nan", "sNaN", "Infinity", "-Infinity", "inf", "1_000", "1,000", "1e5", "1E-8", "1e999999"),
    *("１２３", "٣"),  # which Decimal() reads as 123 and 3
    *(" 1", "1 ", "1\n", "+1", "--1", ".5", "5.", "1.2.3", "0x10", "1" * 25, "0." + "1" * 25, "9" * 1_000_000),
]
NOT_TEXT = [None, 1, 1.5, True, b"1", Decimal(1), ["1"], {"1": 1}]


@given(PLAIN_TEXT)
def test_decimal_text_is_kept_to_the_last_zero(text: str) -> None:
    """What the exchange wrote is what Redis and the page show: no rounding, no exponent, no lost zero."""
    assert plain(finite(text)) == text


@given(NEAR_NUMBERS | st.text())
def test_whatever_passes_is_short_finite_and_plain(text: str) -> None:
    """Decimal() alone accepts NaN, infinities and numbers whose plain form is a megabyte."""
    try:
        value = finite(text)
    except ValueError:
        return
    assert value.is_finite()
    assert set(text) <= set("-.0123456789")
    assert len(plain(value)) <= 50


@pytest.mark.parametrize("text", NOT_PLAIN, ids=lambda t: repr(t)[:20])
@pytest.mark.parametrize("read", [finite, non_negative, positive])
def test_text_that_is_no_plain_decimal_is_refused(read: object, text: str) -> None:
    with pytest.raises(ValueError, match="not a plain decimal") as refused:
        read(text)  # type: ignore[operator]
    assert len(str(refused.value)) < 80  # it goes into a log line


@pytest.mark.parametrize("value", NOT_TEXT, ids=repr)
def test_only_text_passes(value: object) -> None:
    """A JSON number has been a binary float in somebody's hands; the exchange sends prices as text."""
    with pytest.raises(ValueError):
        finite(value)


@pytest.mark.parametrize(
    ("text", "is_non_negative", "is_positive"),
    [("1", True, True), ("0.00000001", True, True), ("0", True, False), ("0.000", True, False), ("-0.1", False, False)],
)
def test_sign_is_checked_where_it_matters(text: str, is_non_negative: bool, is_positive: bool) -> None:
    """A mark of zero would publish $0.00; a negative one is a price change read as a price."""
    for read, allowed in ((non_negative, is_non_negative), (positive, is_positive)):
        if allowed:
            assert read(text) == Decimal(text)
        else:
            with pytest.raises(ValueError, match=r"negative|not positive"):
                read(text)


def test_plain_never_writes_an_exponent() -> None:
    """``str(Decimal("0.00000000"))`` is ``0E-8``, which no operator and not every parser reads."""
    assert plain(Decimal("0.00000000")) == "0.00000000"
    assert plain(Decimal("1E+3")) == "1000"


def takes(read: Callable[[object], Decimal], text: object) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


ANY_TEXT = PLAIN_TEXT | NEAR_NUMBERS | st.text(alphabet="0.-|1", max_size=12)


@given(ANY_TEXT, st.none() | ANY_TEXT, st.none() | ANY_TEXT)
def test_three_at_once_are_judged_as_one_by_one(first: str, second: str | None, third: str | None) -> None:
    """The quick gate of the stream lets nothing through that the others would not."""
    others = all(takes(finite, text) for text in (second, third) if text)
    assert are_plain(first, second, third) == (takes(positive, first) and others)


@pytest.mark.parametrize("ms", [0, 1_764_720_000_000, LATEST_MS - 1])
def test_an_instant_of_this_century_passes(ms: int) -> None:
    assert instant(ms) == ms


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-1, "not Unix milliseconds"),
        (LATEST_MS, "before the year 2100"),
        (1_764_720_000_000_000, "looks like microseconds"),
        (1_764_720_000_000_000_000, "looks like nanoseconds"),
        (10**30, "before the year 2100: 1000"),
    ],
)
def test_an_instant_in_another_unit_is_named(ms: int, said: str) -> None:
    """The exchange has changed units unannounced elsewhere; stored, the value would be fresh for ever."""
    with pytest.raises(ValueError, match=said) as refused:
        instant(ms)
    assert len(str(refused.value)) < 120


@given(st.integers())
def test_what_passes_as_an_instant_fits_64_bits(ms: int) -> None:
    try:
        assert 0 <= instant(ms) < 2**63
    except ValueError:
        return


@given(st.text() | st.integers().map(str) | st.binary() | st.integers().map(lambda n: str(n).encode()) | st.none())
def test_whole_reads_plain_digits_and_nothing_else(text: str | bytes | None) -> None:
    read = whole(text)

    digits = text.decode("latin-1") if isinstance(text, bytes) else text or ""
    plain_digits = bool(digits) and len(digits) <= 15 and set(digits) <= set("0123456789")
    assert read == (int(digits) if plain_digits else None)
