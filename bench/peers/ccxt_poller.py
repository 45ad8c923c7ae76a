"""ccxt's asyncio client. A sweep is measured without its limiter, 32 in flight; it is followed with its limiter on."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import ccxt.async_support as ccxt
import common

IN_FLIGHT = 32


async def client(origin: str, limited: bool) -> Any:
    options = {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}
    made = ccxt.binanceusdm({"options": options, "enableRateLimit": limited})
    urls = made.urls["api"].items()
    made.urls["api"] = {name: url.replace("https://fapi.binance.com", origin) for name, url in urls if url}
    await made.load_markets()
    return made


async def sweep(made: Any, names: list[str], follow: bool) -> int:
    queue = iter(names)

    async def work() -> int:
        got = 0
        for name in queue:
            try:
                row = await made.fetch_open_interest(name)
            except ccxt.BaseError:
                continue
            if follow:
                common.came(row["info"]["symbol"], row["info"]["openInterest"])
            got += 1
        return got

    return sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))


async def main() -> None:
    mode, origin = sys.argv[1:3]
    symbols, made = common.symbols(), await client(origin, limited=mode == "follow")
    names = [made.markets_by_id[symbol][0]["symbol"] for symbol in symbols]
    try:
        if mode == "sweep":
            for got in common.sweeps(int(sys.argv[3]), ccxt.__version__):
                got(await sweep(made, names, follow=False))
        while mode == "follow":
            await sweep(made, names, follow=True)
    finally:
        await made.close()


if __name__ == "__main__":
    asyncio.run(main())
