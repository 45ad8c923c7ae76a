"""The floor of any client on asyncio: bare aiohttp, 64 in flight, nothing else; run by the services' interpreter."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import common

IN_FLIGHT = 64


async def sweep(session: aiohttp.ClientSession, url: str, symbols: list[str]) -> int:
    queue = iter(symbols)

    async def work() -> int:
        got = 0
        for symbol in queue:
            async with session.get(url, params={"symbol": symbol}) as answer:
                got += bool(json.loads(await answer.read())["openInterest"])
        return got

    return sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


async def main() -> None:
    _, origin, times = sys.argv[1:]
    symbols = common.symbols()
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for got in common.sweeps(int(times), aiohttp.__version__):
            got(await sweep(session, f"{origin}/fapi/v1/openInterest", symbols))


if __name__ == "__main__":
    asyncio.run(main())
