"""Decimal text from outside, checked: the one gate through which a price or quantity enters.

Only plain ASCII decimals pass. ``Decimal`` alone would let through ``NaN``, ``Infinity``, ``1_000``, full-width
digits and ``1e999999``, whose plain form is a megabyte long.
"""

from __future__ import annotations

import re
from decimal import Decimal

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
