"""What the deliveries of alerts and of the universe are tested with: the service, its settings, and what they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest
from redis.asyncio import Redis

from services.publisher.metrics import Metrics
from services.publisher.settings import Settings
from shared.health import Health
from shared.settings import load
from tests.fakes import FakeClock, sample, service


class Complaints(list[str]):
    """In place of the report, and beside the health: what was wrong, in order, and what of it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def complain(self, what: str, error: Exception, **facts: object) -> None:
        self.append(f"{what}: {error}")

    def listen(self, health: Health) -> None:
        over = health.over

        def noted(what: str) -> None:
            self.ended.append(what)
            over(what)

        health.over = noted  # type: ignore[method-assign]


class Bench:
    """One delivery's surroundings; ``kind`` is that of its outcomes in ``pipeline_deliveries_total``."""

    kind = ""

    def __init__(self, redis: Redis, clock: FakeClock, url: str, **env: str) -> None:
        self.settings = load(Settings, {"BACKEND_URL": url, "BACKEND_API_KEY": "the-key", **env})
        self.clock = clock
        self.service = service(clock, redis, "publisher", 60)
        self.metrics = Metrics(self.service.registry)
        self.said = Complaints()
        self.said.listen(self.service.health)

    def given(self) -> dict[str, Any]:
        return {"settings": self.settings, "service": self.service, "report": self.said, "metrics": self.metrics}

    async def waits(self, run: Callable[[], Awaitable[NoReturn]], times: int) -> list[float]:
        """How long a loop itself waits, after each of so many steps."""
        waits: list[float] = []

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            self.clock.advance(seconds)
            if len(waits) == times:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.clock, "sleep", wait)
            with pytest.raises(KeyboardInterrupt):
                await run()
        return waits

    def count(self, name: str, **labels: str) -> float:
        return sample(self.service, name, **labels)

    def outcomes(self) -> dict[str, int]:
        samples = [
            s for m in self.service.registry.collect() for s in m.samples if s.name == "pipeline_deliveries_total"
        ]
        return {s.labels["outcome"]: int(s.value) for s in samples if s.labels["kind"] == self.kind and s.value}
