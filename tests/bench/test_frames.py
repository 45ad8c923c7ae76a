"""The relay that times mark frames must hand them on whole, and MONITOR must be read right."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from bench.frames import Monitor, Relay, delays_ms, percentile
from dev.redis_server import EmbeddedRedis
from shared import store
from tests.waiting import eventually

EVENT_MS = 1_764_720_000_000
SMALL = f'{{"stream":"x","data":[{{"e":"markPriceUpdate","E":{EVENT_MS},"s":"BTCUSDT"}}]}}'
LARGE = SMALL.replace(str(EVENT_MS), str(EVENT_MS + 684)) + " " * 70_000


async def test_frames_of_every_size_pass_unchanged_and_marks_are_timed() -> None:
    async def speak(ws: ServerConnection) -> None:
        for text in ("{}", SMALL, LARGE):
            await ws.send(text)
        await ws.wait_closed()

    async with (
        serve(speak, "127.0.0.1", 0, compression=None) as server,
        Relay(server.sockets[0].getsockname()[1]) as relay,
        connect(f"ws://127.0.0.1:{relay.port}", compression=None) as ws,
    ):
        assert [await ws.recv() for _ in range(3)] == ["{}", SMALL, LARGE]
    assert sorted(relay.sent_ns) == [EVENT_MS, EVENT_MS + 684]


async def test_a_write_of_marks_is_seen_when_redis_obeyed_it(redis_server: EmbeddedRedis, redis: store.Redis) -> None:
    monitor = Monitor(redis_server.port)
    job = asyncio.create_task(monitor.follow())
    await monitor.ready.wait()
    await redis.hset("oi:mark", "币安人生USDT", f'{{"mark":"1.5","t":{EVENT_MS},"at":{EVENT_MS + 5}}}')
    await eventually(lambda: EVENT_MS in monitor.seen_ns)
    job.cancel()
    relay = Relay(0)
    relay.sent_ns = {EVENT_MS: monitor.seen_ns[EVENT_MS] - 3_000_000, EVENT_MS + 1000: 1}
    assert delays_ms(relay, monitor) == pytest.approx([3.0])


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(n) for n in range(1, 201)]
    assert percentile(values, 0.99) == 198.0
    assert percentile(values, 0.5) == 100.0
    assert percentile([4.0], 0.99) == 4.0
