"""The old scripts' way: ``requests`` in a pool of 20 threads, one sweep after another."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import common
import requests

WORKERS = 20


class Poller:
    def __init__(self, origin: str) -> None:
        self._url = f"{origin}/fapi/v1/openInterest"
        self._session = requests.Session()
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=WORKERS, pool_maxsize=WORKERS))
        self._pool = ThreadPoolExecutor(WORKERS)
        self.symbols = common.symbols()

    def fetch(self, symbol: str) -> bool:
        answer = self._session.get(self._url, params={"symbol": symbol}, timeout=10)
        if answer.status_code != 200:
            return False
        self.heard(symbol, answer.json()["openInterest"])
        return True

    def heard(self, symbol: str, value: str) -> None:
        """Sweeps are measured without any use of what came."""

    def sweep(self) -> int:
        return sum(self._pool.map(self.fetch, self.symbols))


def main() -> None:
    mode, origin = sys.argv[1:3]
    poller = Poller(origin)
    if mode == "sweep":
        common.measure(poller.sweep, int(sys.argv[3]), version("requests"))
        return
    poller.heard = common.came  # type: ignore[method-assign]
    due_s = time.monotonic()
    while True:
        poller.sweep()
        due_s += common.interval_s(len(poller.symbols))
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    main()
