"""What stands in Redis, made of facts: the same bytes for the pure tests and for the real server."""

from __future__ import annotations

import json
from collections.abc import Iterable

from redis.asyncio import Redis

from services.funding_api.answers import Answers
from services.funding_api.snapshot import HASHES, Hash, Snapshot
from shared.clock import iso
from shared.codec import encode_mark, encode_reading
from shared.errors import WireError
from shared.model import MarkPrice, Reading
from tests.builders import NOW_MS

Facts = dict[str, str]
DAEMON = {
    "started": iso(NOW_MS - 60_000),
    "connections": "2",
    "lastConnected": iso(NOW_MS - 30_000),
    "messagesReceived": "240",
    "reconnectAttempts": "3",
}


def hashes(
    marks: Iterable[MarkPrice] = (),
    readings: Iterable[Reading] = (),
    served: dict[str, tuple[float | None, int, str]] | None = None,
    daemon: Facts | None = None,
) -> list[Hash]:
    """In the order of `HASHES`."""
    rows = {
        key: json.dumps({"usd": usd, "since": since, "verdict": verdict}).encode()
        for key, (usd, since, verdict) in (served or {}).items()
    }
    return [
        {mark.symbol.encode(): encode_mark(mark) for mark in marks},
        {reading.open_interest.symbol.encode(): encode_reading(reading) for reading in readings},
        {key.encode(): blob for key, blob in rows.items()},
        {key.encode(): value.encode() for key, value in (DAEMON if daemon is None else daemon).items()},
        {b"state": b"ok"},
    ]


def refuse(error: WireError) -> None:
    raise AssertionError(f"unexpected bad row: {error}")


def answers(stored: list[Hash], now_ms: int = NOW_MS, max_age_s: float = 180.0) -> Answers:
    return Answers(Snapshot(stored, refuse), now_ms, max_age_s)


async def store(redis: Redis, stored: list[Hash]) -> None:
    for key, rows in zip(HASHES, stored, strict=True):
        await redis.delete(key)
        if rows:
            await redis.hset(key, mapping=dict(rows))  # type: ignore[misc]
