"""The floor of any Python daemon on the stream: websockets, msgspec and redis-py with hiredis, and nothing else.

``bare_stream.py feed ORIGIN SECONDS REDIS_URL``: each row of a frame is decoded, encoded and written with one HSET a
frame; none is checked, compared with another or counted. Run by the services' interpreter.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from importlib.metadata import version
from typing import Any

import common
import hiredis
import msgspec
from redis.asyncio import Redis
from websockets.asyncio.client import connect

STREAMS = "/market/stream?streams=!markPrice@arr@1s/!miniTicker@arr"


class Row(msgspec.Struct, gc=False):
    e: str
    s: str
    E: int
    p: str = ""
    i: str = ""
    r: str = ""
    T: int = 0
    q: str = ""


class Frame(msgspec.Struct):
    data: list[Row]


class Mark(msgspec.Struct, gc=False):
    mark: str
    index: str
    funding: str
    next: int
    t: int
    at: int


class Volume(msgspec.Struct, gc=False):
    quote: str
    t: int


_decode = msgspec.json.Decoder(Frame).decode
_encode = msgspec.json.Encoder().encode


def command(blob: bytes, at_ms: int) -> list[Any]:
    rows = _decode(blob).data
    if rows and rows[0].e == "markPriceUpdate":
        values = [(r.s, _encode(Mark(r.p, r.i, r.r, r.T, r.E, at_ms))) for r in rows]
        return ["HSET", "bare:mark", *(part for pair in values for part in pair)]
    return ["HSET", "bare:volume", *(part for r in rows for part in (r.s, _encode(Volume(r.q, r.E))))]


async def main() -> None:
    _, _, origin, seconds, redis_url = sys.argv
    gc.freeze()
    redis = Redis.from_url(redis_url)
    connection = redis.connection_pool.make_connection()
    await connection.connect()
    feed = common.Feed(seconds)
    async with connect(origin + STREAMS, max_size=1 << 24, compression=None, ping_interval=None) as ws:
        while not feed.over():
            words = command(await ws.recv(decode=False), time.time_ns() // 1_000_000)
            await connection.send_packed_command([hiredis.pack_command(tuple(words))])
            await connection.read_response()
    await connection.disconnect()
    feed.tell(version("websockets"))


if __name__ == "__main__":
    asyncio.run(main())
