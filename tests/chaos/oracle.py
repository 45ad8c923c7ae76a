"""Can a posted row be shown false? Pure. Instants are Unix ms.

The exchange stand-in runs with ``--clock-in-values``: the decimals of every mark and open interest are the ms of the
UTC day at which the value was made, so that a row tells how old its numbers are whatever its batch claims. The whole
part of an open interest never changes, and tells whose it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dev.exchange.values import made_ms

RELATIVE = 1e-9
AHEAD_MS = (
    500  # a value made later than its row was stored, beyond the rounding of clocks, was not made by the exchange
)


@dataclass(frozen=True)
class Bounds:
    """How much older than its batch a number may be: what the settings promise, and the way from the exchange."""

    mark_ms: int
    open_interest_ms: int


@dataclass(frozen=True)
class Row:
    """One posted row; ``made_ms`` is when the older of its two numbers was made."""

    symbol: str
    usd: float
    made_ms: int
    stored_ms: int


def _usable(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number) and number > 0


def judge(raw: Mapping[str, Any], whole: Mapping[str, int], bounds: Bounds, skews_ms: frozenset[int]) -> str:
    """Why this row is wrong; empty when it is not.

    ``whole`` is the whole part of each symbol's open interest, ``skews_ms`` how far off the exchange's clock was.
    """
    symbol, oi, mark, usd = (raw[key] for key in ("symbol", "openInterest", "markPrice", "openInterestUsd"))
    if not (_usable(oi) and _usable(mark) and _usable(usd)):
        return f"{symbol}: not above zero and finite: oi={oi} mark={mark} usd={usd}"
    if not math.isclose(oi * mark, usd, rel_tol=RELATIVE):
        return f"{symbol}: {oi} x {mark} is not {usd}"
    if symbol in whole and int(oi) != whole[symbol]:
        return f"{symbol}: open interest {oi} is another symbol's; its own is {whole[symbol]}.x"
    return _mark_or_oi_late(raw, bounds, skews_ms)


def _mark_or_oi_late(raw: Mapping[str, Any], bounds: Bounds, skews_ms: frozenset[int]) -> str:
    batch_ms, stored_ms = raw["timestamp"], raw["insertedAt"]
    for name, most_ms in (("markPrice", bounds.mark_ms), ("openInterest", bounds.open_interest_ms)):
        at_ms = made_ms(raw[name], batch_ms)
        if not any(batch_ms - most_ms <= at_ms - skew <= stored_ms + AHEAD_MS for skew in skews_ms):
            age_s = (batch_ms - at_ms) / 1000
            return f"{raw['symbol']}: {name} {raw[name]} was made {age_s:.1f} s before its batch"
    return ""


def row_of(raw: Mapping[str, Any], skews_ms: frozenset[int]) -> Row:
    """The row as a fact, once it is known to be a usable one; stamps of a clock that is off are put right."""
    batch_ms = raw["timestamp"]
    made = [min((at - skew for skew in skews_ms), key=lambda ms: abs(batch_ms - ms)) for at in _made(raw)]
    return Row(raw["symbol"], raw["openInterestUsd"], min(made), raw["insertedAt"])


def _made(raw: Mapping[str, Any]) -> list[int]:
    return [made_ms(raw[name], raw["timestamp"]) for name in ("markPrice", "openInterest")]
