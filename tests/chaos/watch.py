"""What the services say of themselves while a fault is on: log lines and health, each with its instant (Unix ms)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from shared.clock import from_iso
from tests.pipeline.harness import SERVICES, Pipeline

EVERY_S = 0.1
DOWN = "down"  # /healthz does not answer
LOUD = {"warning", "error", "critical"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Said:
    """One log line or one change of health."""

    at_ms: int
    service: str
    loud: bool  # a WARNING or worse, or a health that is not ok
    text: str


@dataclass(frozen=True)
class Notice:
    """Who must say what: a WARNING line or a bad health, or with ``quiet`` any line."""

    by: str
    says: str
    quiet: bool = False

    def matches(self, said: Said) -> bool:
        return said.service == self.by and (said.loud or self.quiet) and re.search(self.says, said.text) is not None


def first(notices: Iterable[Notice], said: Iterable[Said], since_ms: int) -> Said | None:
    wanted = list(notices)
    found = [one for one in said if one.at_ms >= since_ms and any(notice.matches(one) for notice in wanted)]
    return min(found, key=lambda one: one.at_ms, default=None)


class Watch:
    """Follows the JSON logs and /healthz of every service. ``health`` is the last answer of each, or None."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._read: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self.said: list[Said] = []
        self.health: dict[str, dict[str, Any] | None] = dict.fromkeys(SERVICES)

    async def follow(self) -> NoReturn:
        while True:
            self.read_logs()
            await asyncio.gather(*(self._look(service) for service in SERVICES))
            await asyncio.sleep(EVERY_S)

    def forget(self) -> None:
        self.said.clear()

    def read_logs(self) -> None:
        for service in SERVICES:
            path = self._pipeline[service].log
            if not path.exists():
                continue
            with path.open("rb") as log:
                log.seek(self._read.get(service, 0))
                blob = log.read()
            whole = blob[: blob.rfind(b"\n") + 1]
            self._read[service] = self._read.get(service, 0) + len(whole)
            self.said += [_line(service, line) for line in whole.splitlines()]

    async def _look(self, service: str) -> None:
        health: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                health = await self._pipeline.healthz(service)
        self.health[service] = health or None
        state, text = health.get("state", DOWN), f"{health['state']}: {health['detail']}" if health else DOWN
        key = state if state == "ok" else text
        if self._told.get(service) != key:
            self._told[service] = key
            self.said.append(Said(now_ms(), service, state != "ok", text))


def _line(service: str, line: bytes) -> Said:
    """A line that is not JSON is a traceback of a start that failed: loud."""
    try:
        fields = json.loads(line)
        facts = " ".join(f"{k}={v}" for k, v in fields.items() if k not in {"time", "level", "service", "event"})
        return Said(from_iso(fields["time"]), service, fields["level"] in LOUD, f"{fields['event']} {facts}")
    except (ValueError, KeyError, TypeError):
        return Said(now_ms(), service, True, line.decode(errors="replace"))
