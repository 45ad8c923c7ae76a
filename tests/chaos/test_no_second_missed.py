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
NEWEST = -1  # of the connections: the oldest may be about to be replaced


class Stream(Pipeline):
    """Redis, the exchange stand-in and ws_daemon, with a recorder at both ends."""

    def __init__(self, folder: Path, connections: int, lifetime_s: str) -> None:
        settings = {"BINANCE_WS_IDLE_SEC": IDLE_S, "BINANCE_WS_LIFETIME_SEC": lifetime_s}
        super().__init__(folder, BINANCE_WS_CONNECTIONS=str(connections), **settings)
        self.sent, self.written = Sent(), Written()

    async def total(self, name: str) -> float:
        """Of a metric of ws_daemon; -1 while it does not answer."""
        try:
            return sum((await self.metric("ws_daemon", name)).values())
        except httpx.HTTPError:
            return -1

    async def delivering(self, connections: int) -> None:
        async def enough() -> bool:
            return await self.total("pipeline_stream_connections") >= connections

        await eventually(enough)

    async def ended(self, connections: int, **fault: object) -> None:
        """A fault ends the newest connection; then as many deliver again."""
        before = await self.total("pipeline_stream_endings_total")
        await self.fault("exchange", {**fault, "conn": NEWEST})

        async def more() -> bool:
            return await self.total("pipeline_stream_endings_total") > before

        await eventually(more)
        await self.delivering(connections)

    async def replaced(self, times: int) -> None:
        before = self["ws_daemon"].log.read_text().count("connection replaced")
        await eventually(lambda: self["ws_daemon"].log.read_text().count("connection replaced") >= before + times, 30)

    async def gaps_until_now(self, from_ms: int) -> dict[str, list[int]]:
        """Once both recorders are past this instant."""
        until_ms = now_ms()
        await eventually(lambda: all(_newest(seen) > until_ms for seen in (self.sent, self.written)))
        seconds = {s for s in self.sent.seconds["BTCUSDT"] if from_ms <= s <= until_ms}
        assert len(self.sent.seconds) > 900
        assert len(seconds) >= 0.9 * (until_ms - from_ms) / 1000
        return missed(self.sent, self.written, from_ms, until_ms)


def _newest(seen: Sent | Written) -> int:
    return max((max(seconds) for seconds in seen.seconds.values() if seconds), default=0)


@asynccontextmanager
async def streaming(folder: Path, connections: int, lifetime_s: str = LIFETIME_S) -> AsyncIterator[Stream]:
    stream = Stream(folder, connections, lifetime_s)
    stream.start("redis", "exchange")
    jobs: list[asyncio.Task[None]] = []
    try:
        for name in ("redis", "exchange"):
            await asyncio.to_thread(stream[name].until_listening, stream.ports[name])
        jobs.append(asyncio.create_task(stream.sent.follow(f"ws://127.0.0.1:{stream.ports['exchange']}")))
        jobs.append(asyncio.create_task(stream.written.follow(stream.ports["redis"])))
        await asyncio.wait_for(stream.sent.connected.wait(), 10)
        stream.start("ws_daemon")
        await stream.delivering(connections)
        yield stream
        assert not [job for job in jobs if job.done()], "a recorder ended: nothing is proved"
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await stream.close()


async def test_two_connections_lose_no_second(tmp_path: Path) -> None:
    """One is reset, one goes mute, both are rotated, and the record of each symbol has no gap."""
    async with streaming(tmp_path, connections=2) as stream:
        from_ms = now_ms()

        await stream.ended(2, fault="ws_reset")
        await stream.ended(2, fault="ws_mute")
        await stream.replaced(4)

        gaps = await stream.gaps_until_now(from_ms)
        assert gaps == {}, f"{len(gaps)} symbols with gaps, such as {dict(list(gaps.items())[:3])}"


async def test_one_connection_that_goes_mute_does_lose_seconds(tmp_path: Path) -> None:
    """The recorder can see a gap: with one connection, which nothing rotates meanwhile, there is one."""
    async with streaming(tmp_path, connections=1, lifetime_s="600") as stream:
        from_ms = now_ms()

        await stream.ended(1, fault="ws_mute")

        assert len(await stream.gaps_until_now(from_ms)) > 900
