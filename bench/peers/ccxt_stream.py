"""ccxt's own stream of all mark prices, kept in its memory; marks only, no tickers, nothing written anywhere.

``ccxt_stream.py feed ORIGIN SECONDS`` as in file_daemon.py.
"""

from __future__ import annotations

import asyncio
import sys

import ccxt.pro as ccxt
import common


async def main() -> None:
    _, _, origin, seconds = sys.argv
    http = origin.replace("ws://", "http://")
    made = ccxt.binanceusdm({"options": {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False}})
    urls = made.urls["api"].items()
    made.urls["api"] = {
        name: url.replace("https://fapi.binance.com", http) if isinstance(url, str) else url for name, url in urls
    }
    made.urls["api"]["ws"]["linear"] = f"{origin}/ws"  # it puts the routed path in itself
    await made.load_markets()
    feed = common.Feed(seconds)
    try:
        while not feed.over():
            await made.watch_mark_prices(None, {"use1sFreq": True})
    finally:
        await made.close()
    feed.tell(ccxt.__version__)


if __name__ == "__main__":
    asyncio.run(main())
