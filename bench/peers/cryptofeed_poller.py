"""cryptofeed's own loop over openInterest: one request at a time, a pause of its default second after each round."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Any

import common
from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint
from cryptofeed.defines import OPEN_INTEREST
from cryptofeed.exchanges import BinanceFutures


def point_at(origin: str) -> None:
    real = BinanceFutures.rest_endpoints[0]
    BinanceFutures.rest_endpoints = [RestEndpoint(origin, routes=real.routes)]


class Rounds:
    """A round ends with as many values as there are symbols. It has one connection, so none is spent on warming up."""

    def __init__(self, symbols: int, times: int) -> None:
        self._symbols, self._got = symbols, 0
        self._turns = common.sweeps(times, version("cryptofeed"), warm_up=0)
        self._tell = next(self._turns)

    async def heard(self, value: Any, _received_s: float) -> None:
        self._got += 1
        if self._got < self._symbols:
            return
        self._tell(self._got)
        self._got, self._tell = 0, next(self._turns, None)
        if self._tell is None:
            os._exit(0)  # the handler has no other end that is quick


async def came(value: Any, _received_s: float) -> None:
    common.came(value.raw["symbol"], value.raw["openInterest"])


def main() -> None:
    mode, origin = sys.argv[1:3]
    point_at(origin)
    wanted = set(common.symbols())
    names = {exchange: name for name, exchange in BinanceFutures.symbol_mapping().items()}
    symbols = [names[symbol] for symbol in wanted]
    pause_s, heard = 1.0, came
    if mode == "sweep":
        pause_s, heard = 0.0, Rounds(len(symbols), int(sys.argv[3])).heard
    handler = FeedHandler(config={"log": {"disabled": True}})
    told = {"channels": [OPEN_INTEREST], "callbacks": {OPEN_INTEREST: heard}}
    handler.add_feed(BinanceFutures(open_interest_interval=pause_s, symbols=symbols, **told))
    handler.run()


if __name__ == "__main__":
    main()
