"""``oi tail``: cycles as they end, by the publisher's heartbeat, which is written every two seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import cast

import msgspec
from redis.asyncio import Redis
from rich.text import Text

from cli.hops import silent
from cli.show import DEGRADED, DOWN, EXIT, GOOD, STYLE, UNKNOWN, age, clock
from cli.state import stamp_ms, texts
from shared.clock import Clock, iso
from shared.errors import Transient
from shared.store import STATUS, redis_faults

LOOK_EVERY_S = 1.0


class Cycle(msgspec.Struct, frozen=True, rename="camel"):
    """One cycle, or what stands in the way of the next. ``batch``: the time of the sweep in it, ISO 8601."""

    at: str
    state: str
    detail: str
    verdict: str = ""
    batch: str = ""
    age_s: float | None = None
    served: str = ""
    universe: str = ""
    left_out: str = ""
    failed: str = ""
    ghosts: str = ""
    backlog: str = ""

    @property
    def exit_status(self) -> int:
        return EXIT[self.state]

    def line(self) -> Text:
        words = [clock(self.at), f"{self.verdict or '-':<10}", f"{self.served or '?'}/{self.universe or '?'} served"]
        words += [f"{self.left_out or 0} left out", f"{self.failed or 0} failed", f"{age(self.age_s)} old"]
        words += [f"{self.backlog} waiting"] if self.backlog not in {"", "0"} else []
        words += [self.detail] if self.state != GOOD else []
        return Text("  ".join(words), "" if self.state == GOOD else STYLE[self.state])


def cycle(beat: Mapping[str, str], now_ms: int) -> Cycle:
    """Pure: what a heartbeat says of the last cycle."""
    batch_ms = stamp_ms(beat.get("batch", ""))
    judged = {
        "at": iso(now_ms),
        "state": {"": DOWN, "ok": GOOD, "starting": UNKNOWN}.get(beat.get("state", ""), DEGRADED),
        "ageS": None if batch_ms is None else max(0.0, (now_ms - batch_ms) / 1000),
    }
    return msgspec.convert({"detail": silent("publisher"), **beat, **judged}, Cycle)


async def cycles(redis: Redis, clock: Clock) -> AsyncIterator[Cycle]:
    """Each new cycle, and each change of what is wrong, without an end."""
    said: tuple[str, ...] = ()
    while True:
        found = await _look(redis, clock.now_ms())
        what = (found.batch, found.verdict, found.state)
        if what != said:
            yield found
        said = what
        await clock.sleep(LOOK_EVERY_S)


async def _look(redis: Redis, now_ms: int) -> Cycle:
    try:
        async with redis_faults():
            fields = cast("dict[bytes, bytes]", await redis.hgetall(STATUS + "publisher"))
    except Transient as e:
        return Cycle(iso(now_ms), UNKNOWN, str(e))
    return cycle(texts(fields), now_ms)
