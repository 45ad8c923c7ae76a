"""Killing one connection, muting one, and rotating cost no second of any symbol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.chaos.recorder import Sent, Written, missed
from tests.chaos.watch import now_ms
from tests.pipeline.harness import Pipeline
from tests.waiting import eventually

IDLE_S = "2"  # 5 s in production
LIFETIME_S = "3"  # 23 h 50 min
LEAST_MS = 7000  # of the record
NEWEST = -1  # of the connections: the oldest may be about to be replaced


class Stream(Pipeline):
    """Redis, the exchange stand-in and ws_daemon, with a recorder at both ends."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, BINANCE_WS_IDLE_SEC=IDLE_S, BINANCE_WS_LIFETIME_SEC=LIFETIME_S)
        self.sent, self.written = Sent(), Written()

    async def total(self, name: str) -> float:
        """Of a metric of ws_daemon; -1 while it does not answer."""
        try:
            return sum((await self.metric("ws_daemon", name)).values())
        except httpx.HTTPError:
            return -1

    async def delivering(self) -> None:
        async def both() -> bool:
            return await self.total("pipeline_stream_connections") >= 2

        await eventually(both)

    async def ended(self, **fault: object) -> None:
        """A fault ends a connection; then both deliver again."""
        before = await self.total("pipeline_stream_endings_total")
        await self.fault("exchange", fault)

        async def more() -> bool:
            return await self.total("pipeline_stream_endings_total") > before

        await eventually(more)
        await self.delivering()

    async def both_replaced(self) -> None:
        before = len(self["ws_daemon"].log.read_text())

        def done() -> bool:
            said = self["ws_daemon"].log.read_text()[before:]
            return all(f"connection replaced connection=stream-{n}" in said for n in (1, 2))

        await eventually(done)

    async def away_for_a_frame(self) -> None:
        """Of crypto and of TradFi each."""
        self["ws_daemon"].kill()
        since_ms = now_ms()
        await eventually(lambda: all(max(self.sent.seconds[s]) > since_ms for s in ("BTCUSDT", "XAUUSDT")))
        self.start("ws_daemon")
        await self.delivering()

    async def gaps_until_now(self, from_ms: int) -> dict[str, list[int]]:
        """Once both recorders are past this instant, and there are some seconds to judge by."""
        until_ms = max(now_ms(), from_ms + LEAST_MS)
        await eventually(lambda: all(_newest(seen) > until_ms for seen in (self.sent, self.written)))
        seconds = {s for s in self.sent.seconds["BTCUSDT"] if from_ms <= s <= until_ms}
        assert len(self.sent.seconds) > 900
        assert len(seconds) >= 0.9 * (until_ms - from_ms) / 1000 - 1  # fewer prove little
        return missed(self.sent, self.written, from_ms, until_ms)


def _newest(seen: Sent | Written) -> int:
    return max((max(seconds) for seconds in seen.seconds.values() if seconds), default=0)


@asynccontextmanager
async def streaming(folder: Path) -> AsyncIterator[Stream]:
    stream = Stream(folder)
    stream.start("redis", "exchange")
    jobs: list[asyncio.Task[None]] = []
    try:
        for name in ("redis", "exchange"):
            await asyncio.to_thread(stream[name].until_listening, stream.ports[name])
        jobs.append(asyncio.create_task(stream.sent.follow(f"ws://127.0.0.1:{stream.ports['exchange']}")))
        jobs.append(asyncio.create_task(stream.written.follow(stream.ports["redis"])))
        await asyncio.wait_for(stream.sent.connected.wait(), 10)
        stream.start("ws_daemon")
        await stream.delivering()
        yield stream
        assert not [job for job in jobs if job.done()], "a recorder ended: nothing is proved"
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await stream.close()


async def test_two_connections_lose_no_second(tmp_path: Path) -> None:
    """One is reset, one goes mute, both are rotated, and the record of each symbol has no gap.

    When nobody is there for a frame it has: a recorder that cannot see one proves nothing.
    """
    async with streaming(tmp_path) as stream:
        from_ms = now_ms()

        await stream.ended(fault="ws_reset", conn=NEWEST)
        await stream.ended(fault="ws_mute", conn=NEWEST)
        await stream.both_replaced()
        gaps = await stream.gaps_until_now(from_ms)
        await stream.away_for_a_frame()

        assert gaps == {}, f"{len(gaps)} symbols with gaps, such as {dict(list(gaps.items())[:3])}"
        assert len(await stream.gaps_until_now(from_ms)) > 900
