"""One truth about a service, told the same way by ``/healthz``, the heartbeat in Redis and the service manager.

A service is ``ok`` only while it has done its job within ``limit_s``. Connected, subscribed or "no error" is not a job.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shared.clock import Clock, iso

HANG_S = 60.0  # of silence at least; a service that does its job less often is given longer


class Report(NamedTuple):
    state: str  # starting, ok, degraded, stalled
    since_ms: int
    last_success_ms: int | None
    detail: str

    @property
    def healthy(self) -> bool:
        return self.state == "ok"

    def as_json(self) -> dict[str, Any]:
        last = None if self.last_success_ms is None else iso(self.last_success_ms)
        return {"state": self.state, "since": iso(self.since_ms), "lastSuccess": last, "detail": self.detail}


class Health:
    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self.limit_s = limit_s
        self._state = "starting"
        self._since_ms = clock.now_ms()
        self._detail = "nothing done yet"
        self._success_s: float | None = None
        self._success_ms: int | None = None
        self._heard_s = clock.monotonic_s()

    def good(self, detail: str) -> None:
        """The job was done, just now."""
        self._success_s = self._clock.monotonic_s()
        self._success_ms = self._clock.now_ms()
        self._heard_s = max(self._heard_s, self._success_s)
        self._turn("ok", detail)

    def bad(self, detail: str) -> None:
        """The job is not being done; ``detail`` is one line: what is wrong, or what is waited for."""
        self._heard_s = max(self._heard_s, self._clock.monotonic_s())
        self._turn("starting" if self._success_s is None else "degraded", detail)

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
