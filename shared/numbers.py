"""Numbers from outside, checked: the one gate through which a price, a quantity, a count or an instant enters.

Of decimals only plain ASCII passes. ``Decimal`` alone would let through ``NaN``, ``Infinity``, ``1_000``, full-width
digits and ``1e999999``, whose plain form is a megabyte long.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

import msgspec

LATEST_MS = 4_133_980_800_000  # the end of the year 2100: what is later was told in another unit, or made up

Instant = Annotated[int, msgspec.Meta(ge=0, lt=LATEST_MS)]  # Unix ms in a msgspec.Struct; 0 stands for "none" in places

# Possessive: what was read is never read again another way, which takes two thirds of the time away.
_DIGITS = r"[0-9]{1,24}+(?:\.[0-9]{1,24}+)?+"
_PLAIN = re.compile(f"-?{_DIGITS}", re.ASCII)
_POSITIVE_AND_TWO = re.compile(rf"(?![0.]+\|){_DIGITS}\|(?:-?{_DIGITS})?+\|(?:-?{_DIGITS})?+", re.ASCII)


def finite(text: object) -> Decimal:
    """Plain decimal text -> Decimal, sign and trailing zeros kept; ValueError for anything else."""
    if type(text) is not str or _PLAIN.fullmatch(text) is None:
        raise ValueError(f"not a plain decimal: {text!r:.40}")
    return Decimal(text)


def non_negative(text: object) -> Decimal:
    value = finite(text)
    if value < 0:
        raise ValueError(f"negative: {text!r:.40}")
    return value


def positive(text: object) -> Decimal:
    value = finite(text)
    if value <= 0:
        raise ValueError(f"not positive: {text!r:.40}")
    return value


def are_plain(above_zero: str, second: str | None, third: str | None) -> bool:
    """Whether `positive` would take the first, and `finite` each of the others that is not absent or empty.

    One match for the three of a mark price, and no Decimal: a second of the stream has a thousand of them.
    """
    return _POSITIVE_AND_TWO.fullmatch(f"{above_zero}|{second or ''}|{third or ''}") is not None


def plain(value: Decimal) -> str:
    """The text `finite` read it from: never an exponent (``str(Decimal("0.00000000"))`` is ``0E-8``)."""
    return format(value, "f")


def plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def instant(ms: int) -> int:
    """Unix milliseconds before the year 2100, or ValueError that names the unit it looks like."""
    if 0 <= ms < LATEST_MS:
        return ms
    for unit, factor in (("microseconds", 1000), ("nanoseconds", 1_000_000)):
        if LATEST_MS // 4 * factor <= ms < LATEST_MS * factor:
            raise ValueError(f"{ms} looks like {unit}, not like Unix milliseconds")
    raise ValueError(f"not Unix milliseconds before the year 2100: {str(ms)[:40]}")


def whole(text: str | bytes | None) -> int | None:
    """A count or an instant as Redis, a header or a heartbeat has it in plain digits; None for anything else."""
    if not text or len(text) > 15 or not text.isascii() or not text.isdigit():
        return None
    return int(text)
