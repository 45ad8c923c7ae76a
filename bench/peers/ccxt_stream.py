"""ccxt's own stream of all mark prices, kept in its memory; marks only, no tickers, nothing written anywhere.

``ccxt_stream.py feed ORIGIN SECONDS`` as in file_daemon.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import ccxt.pro as ccxt
import common

WARM_UP_S = 3.0


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
    used_s, begun_s = 0.0, 0.0
    try:
        while not begun_s or time.monotonic() < begun_s + float(seconds):
            await made.watch_mark_prices(None, {"use1sFreq": True})
            begun_s = begun_s or time.monotonic() + WARM_UP_S
            if time.monotonic() < begun_s:
                used_s = common.cpu_s()
    finally:
        await made.close()
    cost_s = (common.cpu_s() - used_s) / (time.monotonic() - begun_s)
    print(json.dumps({"cpu_s": [cost_s], "version": ccxt.__version__}))


if __name__ == "__main__":
    asyncio.run(main())
