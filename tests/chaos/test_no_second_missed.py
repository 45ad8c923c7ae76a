"""Killing one connection, muting one, and rotating cost no second of any symbol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from dev.processes import Child
from dev.redis_server import EmbeddedRedis, free_port
from tests.chaos.recorder import Sent, Written, missed
from tests.chaos.watch import now_ms
from tests.waiting import eventually

IDLE_S = "2"  # 5 s in production
LIFETIME_S = 6  # 23 h 50 min
NEWEST = -1  # of the connections: the oldest may be about to be replaced


class Stream:
    """Redis, the exchange stand-in and ws_daemon, with a recorder at both ends."""

    def __init__(self, folder: Path, redis: EmbeddedRedis, connections: int, lifetime_s: int) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.sent, self.written = Sent(), Written()
        self.redis = redis
        env = {
            "REDIS_URL": redis.url,
            "BINANCE_WS_URL": f"ws://127.0.0.1:{self.port}",
            "BINANCE_REST_URL": f"http://127.0.0.1:{self.port}",
            "BINANCE_WS_CONNECTIONS": str(connections),
            "BINANCE_WS_IDLE_SEC": IDLE_S,
            "BINANCE_WS_LIFETIME_SEC": str(lifetime_s),
            "METRICS_PORT": str(self.metrics_port),
        }
        exchange = [sys.executable, "-m", "dev.exchange", "--port", str(self.port)]
        self.exchange = Child("exchange", exchange, {}, folder)
        self.daemon = Child("ws_daemon", [sys.executable, "-m", "services.ws_daemon"], env, folder)
        self.api = httpx.AsyncClient(timeout=5)

    async def fault(self, **fault: object) -> None:
        answer = await self.api.post(f"http://127.0.0.1:{self.port}/control", json=fault)
        assert answer.status_code == 200, answer.text

    async def metric(self, name: str) -> float:
        """Sum of its samples; -1 while the daemon does not answer."""
        try:
            text = (await self.api.get(f"http://127.0.0.1:{self.metrics_port}/metrics")).text
        except httpx.HTTPError:
            return -1
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    async def delivering(self, connections: int) -> None:
        async def enough() -> bool:
            return await self.metric("pipeline_stream_connections ") >= connections

        await eventually(enough)

    async def ended_more_than(self, endings: float) -> None:
        async def more() -> bool:
            return await self.metric("pipeline_stream_endings_total") > endings

        await eventually(more)

    async def replaced(self, times: int) -> None:
        before = self.daemon.log.read_text().count("connection replaced")
        await eventually(lambda: self.daemon.log.read_text().count("connection replaced") >= before + times, 30)

    async def up_to(self, at_ms: int) -> None:
        """Until both recorders are past that instant."""
        await eventually(lambda: all(_newest(seen) > at_ms for seen in (self.sent, self.written)))


def _newest(seen: Sent | Written) -> int:
    return max((max(seconds) for seconds in seen.seconds.values() if seconds), default=0)


@asynccontextmanager
async def streaming(folder: Path, connections: int, lifetime_s: int = LIFETIME_S) -> AsyncIterator[Stream]:
    redis = EmbeddedRedis()
    stream = Stream(folder, redis, connections, lifetime_s)
    stream.exchange.start()
    jobs: list[asyncio.Task[None]] = []
    try:
        await eventually(lambda: "stand-in on" in stream.exchange.tail())
        jobs.append(asyncio.create_task(stream.sent.follow(f"ws://127.0.0.1:{stream.port}")))
        jobs.append(asyncio.create_task(stream.written.follow(redis.port)))
        await asyncio.wait_for(stream.sent.connected.wait(), 10)
        stream.daemon.start()
        await stream.delivering(connections)
        yield stream
        assert not [job for job in jobs if job.done()], "a recorder ended: nothing is proved"
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        stream.daemon.stop()
        stream.exchange.stop()
        await stream.api.aclose()
        redis.close()


async def test_two_connections_lose_no_second(tmp_path: Path) -> None:
    """One is reset, one goes mute, both are rotated, and the record of each symbol has no gap."""
    async with streaming(tmp_path, connections=2) as stream:
        from_ms = now_ms()

        endings = await stream.metric("pipeline_stream_endings_total")
        await stream.fault(fault="ws_reset", conn=NEWEST)
        await stream.ended_more_than(endings)
        await stream.delivering(2)
        endings = await stream.metric("pipeline_stream_endings_total")
        await stream.fault(fault="ws_mute", conn=NEWEST)
        await stream.ended_more_than(endings)
        await stream.delivering(2)
        await stream.replaced(4)
        until_ms = now_ms()
        await stream.up_to(until_ms)

        gaps = missed(stream.sent, stream.written, from_ms, until_ms)
        seconds = {s for s in stream.sent.seconds["BTCUSDT"] if from_ms <= s <= until_ms}
        assert len(stream.sent.seconds) > 900
        assert len(seconds) >= 0.9 * (until_ms - from_ms) / 1000
        assert gaps == {}, f"{len(gaps)} symbols with gaps, such as {dict(list(gaps.items())[:3])}"


async def test_one_connection_that_goes_mute_does_lose_seconds(tmp_path: Path) -> None:
    """The recorder can see a gap: with one connection, which nothing rotates meanwhile, there is one."""
    async with streaming(tmp_path, connections=1, lifetime_s=600) as stream:
        from_ms = now_ms()
        endings = await stream.metric("pipeline_stream_endings_total")
        await stream.fault(fault="ws_mute", conn=NEWEST)
        await stream.ended_more_than(endings)
        await stream.delivering(1)
        until_ms = now_ms()
        await stream.up_to(until_ms)

        gaps = missed(stream.sent, stream.written, from_ms, until_ms)
        assert len(gaps) > 900
