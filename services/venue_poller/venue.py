"""What a venue is to the poller: what it is asked, how often, and a pure decoder of its answers.

A module under `services.venue_poller.venues` declares one `Venue` and knows nothing else of this service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import msgspec

from shared.coins import Unit
from shared.errors import UNREADABLE, RateLimited, WireError
from shared.model import Counts, Sides, VenueOpenInterest, valid_symbol
from shared.numbers import finite, instant, non_negative, positive

EIGHT = Decimal("0.00000001")
CLOSE = Decimal("0.01")  # two figures of one row that should agree and differ by more contradict each other
BAD_ROWS = ("unreadable", "contradicts")  # why a row is no figure at all
T = TypeVar("T")


class Request(NamedTuple):
    """One call that brings all contracts at once. ``body``: JSON of a POST; None: a GET."""

    path: str
    params: Mapping[str, str] = MappingProxyType({})
    body: bytes | None = None


class Decoded(NamedTuple):
    rows: list[VenueOpenInterest]
    bad: list[WireError]  # one for each row that cannot be read or contradicts itself
    aside: Counter[str]  # rows that are none of ours, by why: dated, delisted, other


class Venue(NamedTuple):
    name: str
    origin: str
    requests: tuple[Request, ...]
    decode: Callable[[Sequence[bytes], int], Decoded]  # one body a request, and when they were received, Unix ms
    pace_s: float = 5.0  # at most a tenth of what the venue lets an address ask


class Aside(Exception):
    """A row that is none of ours: not a perpetual, delisted, of a quote that is no dollar."""


def each(items: Iterable[msgspec.Raw], read: Callable[[msgspec.Raw], VenueOpenInterest]) -> Decoded:
    """Every row that can be read; each other one costs only itself."""
    found = Decoded([], [], Counter())
    for item in items:
        try:
            found.rows.append(read(item))
        except Aside as e:
            found.aside[str(e)] += 1
        except WireError as e:
            found.bad.append(e)
        except (*UNREADABLE, ArithmeticError) as e:
            found.bad.append(WireError("unreadable", f"{e} in {bytes(item)[:80]!r}"))
    return found


def contract(
    venue: str,
    symbol: str,
    unit: Unit,
    received_ms: int,
    *,
    told: Decimal,
    counts: Counts,
    size: Decimal,
    sides: Sides,
    mark: Decimal | None,
    told_usd: Decimal | None = None,
    funding: str | None = None,
    venue_ms: int | None = None,
) -> VenueOpenInterest:
    """A row by single coins. ``size`` and ``mark`` are of what the venue calls its base, such as 1000PEPE."""
    base = (size * unit.multiplier).quantize(EIGHT)
    if not base:
        raise Aside("zero")  # told as a billionth of a coin, which no row can hold
    return VenueOpenInterest(
        venue=venue,
        symbol=valid_symbol(symbol),
        coin=valid_symbol(unit.coin),
        multiplier=unit.multiplier,
        told=told,
        unit=counts,
        told_usd=told_usd,
        base=base,
        sides=sides,
        mark_price=None if mark is None else mark / unit.multiplier,
        mark_of="binance" if mark is None else "venue",
        funding_rate=finite(funding) if funding else None,
        venue_ms=None if venue_ms is None else instant(venue_ms),
        received_ms=received_ms,
    )


class _Coded(msgspec.Struct):
    code: str
    msg: str = ""
    data: list[msgspec.Raw] = []


_coded = msgspec.json.Decoder(_Coded)


def coded(body: bytes, *, good: str, too_many: Collection[str]) -> list[msgspec.Raw]:
    """The rows of a body that tells by a code how it went, as OKX and Bitget do. Raises `WireError`, `RateLimited`."""
    read = whole_body(_coded, body)
    if read.code in too_many:
        raise RateLimited(f"{read.code} {read.msg:.80}", 10.0)
    if read.code != good:
        raise WireError("venue_error", f"{read.code:.20} {read.msg:.80}")
    return read.data


def whole_body(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Raises `WireError` where it cannot be read as a whole; its rows are read one by one."""
    try:
        return decoder.decode(body)
    except UNREADABLE as e:
        raise WireError("bad_body", str(e)) from e


def outstanding(text: object) -> Decimal:
    """A figure of open interest. A contract that trades has some: zero is set aside, as delisted ones send it."""
    value = non_negative(str(text) if type(text) is int else text)
    if value == 0:
        raise Aside("zero")
    return value


def price(text: str | None) -> Decimal | None:
    return positive(text) if text else None


def agree(one: Decimal, other: Decimal, what: str) -> None:
    """Raise `WireError` where two figures of one row that should be equal are not."""
    if abs(one - other) > CLOSE * max(one, other):
        raise WireError("contradicts", f"{what}: {one:f} against {other:f}")
