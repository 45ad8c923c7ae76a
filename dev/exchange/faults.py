"""Which faults can be asked for, with their parameters, and which are in force: pure, given the time.

`SPECS` is the whole list; README.md tells each one with an example. Instants are seconds of any steady clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dev.exchange.answers import ANSWERS
from dev.exchange.rows import SPOILED_FRAMES, SPOILS

REQUIRED = object()
NUMBER = (int, float)
ANY = (object,)
NAMES = (list, str)  # one symbol or several; "all" where the fault allows it


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a fault: the JSON types it may have, what it is if absent, what it may be."""

    types: tuple[type, ...]
    default: Any = REQUIRED
    choices: tuple[Any, ...] = ()


CONN = Param((int, str), "all")
ROUTES = ("all", "ping", "time", "exchangeInfo", "ticker/24hr", "premiumIndex", "openInterest", "openInterestHist")
ROUTE = Param((str,), "all", ROUTES)

LASTING: dict[str, dict[str, Param]] = {  # in force until cleared, or for "seconds", or for "times" uses
    "rest_latency": {
        "route": ROUTE,
        "ms": Param(NUMBER),
        "jitter_ms": Param(NUMBER, 0),
        "symbols": Param(NAMES, "all"),
    },
    "rest_answer": {
        "answer": Param((str,), REQUIRED, tuple(ANSWERS)),
        "route": ROUTE,
        "symbols": Param(NAMES, "all"),
        "share": Param(NUMBER, 1.0),
        "retry_after": Param((int,), 60),
        "status": Param((int,), 0),
    },
    "ws_mute": {"conn": CONN},
    "ws_ack_mute": {},
    "ws_stall": {"conn": CONN},
    "ws_drip": {"conn": CONN, "bytes_per_s": Param((int,), 200)},
    "ws_half_mute": {"share": Param(NUMBER, 0.0), "symbols": Param((list,), [])},
    "ws_rows": {
        "kind": Param((str,), REQUIRED, tuple(SPOILS)),
        "symbols": Param(NAMES, "all"),
        "share": Param(NUMBER, 1.0),
    },
    "ws_frames": {"kind": Param((str,), REQUIRED, SPOILED_FRAMES)},
    "ws_tickers": {"share": Param(NUMBER, 0.0)},
    "ws_time_back": {"ms": Param((int,), 60_000)},
    "ws_one_frame": {"keep": Param((str,), REQUIRED, ("crypto", "tradfi"))},
    "ws_refuse": {"status": Param((int,), 503)},
    "clock_skew": {"ms": Param(NUMBER)},
    "oi_value": {"symbol": Param((str,)), "value": Param(ANY)},
    "oi_time": {"symbol": Param((str,)), "value": Param(ANY)},
    "mark_value": {"symbol": Param((str,)), "value": Param(ANY)},
    "volume_value": {"symbol": Param((str,)), "usd": Param(NUMBER)},
    "limits": {
        "limit": Param((int,), None),
        "ban_after": Param((int,), None),
        "ban_s": Param(NUMBER, None),
        "retry_after": Param((bool,), None),
        "grace_ms": Param((int,), None),
    },
}
AT_ONCE: dict[str, dict[str, Param]] = {  # done when asked for
    "ws_close": {"conn": CONN, "code": Param((int,), 1001), "reason": Param((str,), "")},
    "ws_reset": {"conn": CONN},
    "ws_cut": {"conn": CONN, "code": Param((int,), 1001)},
    "ws_shutdown_notice": {"conn": CONN, "close_after_s": Param(NUMBER, 10), "wrapped": Param((bool,), True)},
    "ban": {"ban_s": Param(NUMBER), "retry_after": Param((bool,), True), "text": Param((bool,), True)},
    "weight_burn": {"weight": Param((int,))},
    "oi_move": {"symbol": Param((str,)), "percent": Param(NUMBER), "over_s": Param(NUMBER, 0)},
    "delist": {"symbol": Param((str,)), "status": Param((str,), "SETTLING")},
    "list": {"count": Param((int,), 1), "symbol": Param((str,), ""), "usd_volume": Param(NUMBER, 2.5e7)},
}
SPECS = {**LASTING, **AT_ONCE}


class BadFaultError(ValueError):
    """The request does not describe a fault; the text says why."""


@dataclass(slots=True)
class Fault:
    """One fault in force."""

    id: int
    name: str
    params: dict[str, Any]
    until_s: float | None = None
    left: int | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)  # set when it ends: what hangs on it goes on

    def told(self, now_s: float) -> dict[str, Any]:
        left_s = None if self.until_s is None else round(self.until_s - now_s, 3)
        return {"id": self.id, "fault": self.name, **self.params, "seconds_left": left_s, "times_left": self.left}

    def wants(self, symbol: str | None) -> bool:
        """Is this symbol meant? ``"all"`` means every one, and requests without one."""
        wanted = self.params.get("symbols", "all")
        return wanted == "all" or (symbol is not None and symbol in wanted)


def check(asked: dict[str, Any]) -> tuple[str, dict[str, Any], float | None, int | None]:
    """A request as name, whole parameters, seconds and times; raise `BadFaultError` with what is wrong."""
    given = dict(asked)
    name, seconds, times = given.pop("fault", None), given.pop("seconds", None), given.pop("times", None)
    if name not in SPECS:
        raise BadFaultError(f"fault {name!r} is not one of {', '.join(SPECS)}")
    if name in AT_ONCE and (seconds is not None or times is not None):
        raise BadFaultError(f"{name} is done at once: it takes neither seconds nor times")
    for label, value in (("seconds", seconds), ("times", times)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, NUMBER) or value <= 0):
            raise BadFaultError(f"{label} must be a positive number, not {value!r}")
    if times is not None and name not in ("rest_answer", "ws_frames"):
        raise BadFaultError(f"{name} takes no times")
    spec = SPECS[name]
    if unknown := set(given) - set(spec):
        raise BadFaultError(f"{name} takes {', '.join(spec) or 'no parameters'}; not {', '.join(sorted(unknown))}")
    params = {key: _value(name, key, param, given) for key, param in spec.items()}
    return name, params, seconds, None if times is None else int(times)


def _value(name: str, key: str, param: Param, given: dict[str, Any]) -> Any:
    value = given.get(key, param.default)
    if value is REQUIRED:
        raise BadFaultError(f"{name} needs {key}")
    if key not in given:
        return value
    if not isinstance(value, param.types) or (
        isinstance(value, bool) and bool not in param.types and param.types != ANY
    ):
        raise BadFaultError(f"{name}: {key} must be {' or '.join(t.__name__ for t in param.types)}, not {value!r}")
    if param.choices and value not in param.choices:
        raise BadFaultError(f"{name}: {key} must be one of {', '.join(map(str, param.choices))}; not {value!r}")
    return [value] if param.types == NAMES and isinstance(value, str) and value != "all" else value


class Faults:
    """The faults in force, by name."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._active: dict[str, list[Fault]] = {}

    def add(self, name: str, params: dict[str, Any], until_s: float | None, times: int | None) -> Fault:
        fault = Fault(next(self._ids), name, params, until_s, times)
        self._active.setdefault(name, []).append(fault)
        return fault

    def of(self, name: str) -> Iterable[Fault]:
        """Those of one name, oldest first."""
        return self._active.get(name, ())

    def first(self, name: str) -> Fault | None:
        return next(iter(self.of(name)), None)

    def use(self, fault: Fault) -> None:
        """One of its times is spent; the last one ends it."""
        if fault.left is not None:
            fault.left -= 1
            if fault.left <= 0:
                self.drop(fault)

    def drop(self, fault: Fault) -> bool:
        """End one; False if it had ended already."""
        rest = self._active.get(fault.name, [])
        if fault not in rest:
            return False
        rest.remove(fault)
        if not rest:
            del self._active[fault.name]
        if fault.left is None:
            fault.over.set()
        return True

    def all(self) -> list[Fault]:
        return [fault for found in self._active.values() for fault in found]

    def __bool__(self) -> bool:
        return bool(self._active)
