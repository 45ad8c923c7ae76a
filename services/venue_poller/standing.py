"""How the venues stand, told as one service: reading one of them is the job, each other one is told of beside it."""

from __future__ import annotations

from collections.abc import Iterable

from shared.health import BEGINNING_S
from shared.service import Service

NOT_YET = "not read yet"


class Standing:
    def __init__(self, service: Service, venues: Iterable[str]) -> None:
        self._service = service
        self._begun_s = service.clock.monotonic_s()
        self._troubles = dict.fromkeys(venues, NOT_YET)

    def told(self, venue: str, trouble: str) -> None:
        """A round has ended; ``trouble`` is empty when it was believed."""
        self._troubles[venue] = trouble
        health, well = self._service.health, [name for name, cause in self._troubles.items() if not cause]
        if not trouble:
            health.over(f"{venue} is not read")
        elif self._service.clock.monotonic_s() - self._begun_s >= BEGINNING_S:  # before it is waited for
            health.aside(f"{venue} is not read", cause=trouble)
        self._service.facts["read"] = ",".join(well)
        if well:
            health.good(f"{len(well)} of {len(self._troubles)} venues read")
        else:
            health.bad("no venue is read", trouble)
