"""The old scripts' way: ``requests`` in a pool of 20 threads, one sweep after another."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import common
import requests

WORKERS = 20
BUDGET_PER_MIN = 2000  # requests: it has no limiter of its own


class Poller:
    def __init__(self, origin: str, heard: Callable[[str, str], None]) -> None:
        self._url, self._heard = f"{origin}/fapi/v1/openInterest", heard
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=WORKERS, pool_maxsize=WORKERS))
        self._pool = ThreadPoolExecutor(WORKERS)
        self.symbols = common.symbols()

    def fetch(self, symbol: str) -> bool:
        answer = self._session.get(self._url, params={"symbol": symbol}, timeout=10)
        if answer.status_code == 200:
            self._heard(symbol, answer.json()["openInterest"])
        return answer.status_code == 200

    def sweep(self) -> int:
        return sum(self._pool.map(self.fetch, self.symbols))


def main() -> None:
    mode, origin = sys.argv[1:3]
    poller = Poller(origin, common.came if mode == "follow" else lambda *_: None)
    if mode == "sweep":
        for got in common.sweeps(int(sys.argv[3]), version("requests")):
            got(poller.sweep())
        return
    due_s = time.monotonic()
    while True:
        poller.sweep()
        due_s += 60 * len(poller.symbols) / BUDGET_PER_MIN
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main()
