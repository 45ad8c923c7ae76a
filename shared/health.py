"""One truth about a service: how it stands, told alike by ``/healthz``, heartbeat and service manager, and by the log.

A service is ``ok`` only while it has done its job within ``limit_s``. Connected, subscribed or "no error" is not a job.
What is wrong is logged when it begins, again after each minute it lasts, and when it is well again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from shared.clock import Clock, iso
from shared.logs import SAY_AGAIN_S, EventLog, OncePer

HANG_S = 60.0  # of silence at least; a service that does its job less often is given longer
BEGINNING_S = 60.0  # what is waited for at a start: nobody has to act on it before
log = EventLog("health")


class Report(NamedTuple):
    state: str  # starting, ok, degraded, stalled
    since_ms: int
    last_success_ms: int | None
    detail: str

    @property
    def healthy(self) -> bool:
        return self.state == "ok"


class Health:
    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self.limit_s = limit_s
        self._state = "starting"
        self._since_ms = clock.now_ms()
        self._detail = "nothing done yet"
        self._success_s: float | None = None
        self._success_ms: int | None = None
        self._began_s = self._heard_s = clock.monotonic_s()
        self._once = OncePer(clock, SAY_AGAIN_S)
        self._wrong = ""  # what keeps the service from its job now
        self._wrong_since_s: dict[str, float] = {}  # monotonic; of that, and of what is wrong aside
        self._told: set[str] = set()  # of these, what was logged

    def good(self, detail: str) -> None:
        """The job was done, just now."""
        self._success_s = self._clock.monotonic_s()
        self._success_ms = self._clock.now_ms()
        self._heard_s = max(self._heard_s, self._success_s)
        self._turn("ok", detail)
        if self._wrong:
            self.over(self._wrong)
            self._wrong = ""

    def bad(self, what: str, cause: object = None) -> None:
        """The job is not being done: what is wrong, or what is waited for.

        It is logged where there is a ``cause``; ``what`` is then one of few fixed texts, by which it is said once.
        """
        self._heard_s = max(self._heard_s, self._clock.monotonic_s())
        self._turn("starting" if self._success_s is None else "degraded", what if cause is None else f"{what}: {cause}")
        if cause is None:
            return
        if what != self._wrong:
            self._forget(self._wrong)
            self._wrong = what
        beginning = self._success_s is None and self._clock.monotonic_s() - self._began_s < BEGINNING_S
        self._say(what, log.info if beginning else log.warning, {"cause": str(cause)})

    def aside(self, what: str, **facts: Any) -> None:
        """Something is wrong that does not keep the service from its job; logged as rarely. ``what``: a fixed text."""
        self._say(what, log.warning, facts)

    def _say(self, what: str, write: Callable[..., None], facts: dict[str, Any]) -> None:
        """One that comes and goes is not said more often than one that stays."""
        now_s = self._clock.monotonic_s()
        since_s = self._wrong_since_s.setdefault(what, now_s)
        if not self._once.due(what):
            return
        if what in self._told:
            facts["since"] = iso(self._clock.now_ms() - round((now_s - since_s) * 1000))
        write(what, **facts)
        self._told.add(what)

    def over(self, what: str) -> None:
        """Well again, of what `aside` told; said where that was logged."""
        if what in self._told:
            log.info("well again", after=what, lasted_s=int(self._clock.monotonic_s() - self._wrong_since_s[what]))
        self._forget(what)

    def _forget(self, what: str) -> None:
        self._wrong_since_s.pop(what, None)
        self._told.discard(what)

    def quiet(self, seconds: float) -> None:
        """Work or a wait begins that may last so long: until it ends, silence is no sign of a hang."""
        self._heard_s = self._clock.monotonic_s() + seconds

    def hangs(self) -> bool:
        """The service's own loop was heard of neither by `good` nor by `bad` for so long that only a restart helps."""
        return self._clock.monotonic_s() - self._heard_s > max(HANG_S, 2 * self.limit_s)

    def report(self) -> Report:
        if self._state == "ok" and self._success_s is not None:
            age_s = self._clock.monotonic_s() - self._success_s
            if age_s > self.limit_s:
                self._turn("stalled", f"nothing done for more than {self.limit_s:g} s; last: {self._detail}")
        return Report(self._state, self._since_ms, self._success_ms, self._detail)

    def _turn(self, state: str, detail: str) -> None:
        if state != self._state:
            self._state = state
            self._since_ms = self._clock.now_ms()
        self._detail = detail
