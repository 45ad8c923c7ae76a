"""Binance's own open interest as one venue among the others: the same rows, with the same past."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NoReturn

from services.venue_poller.board import Board
from services.venue_poller.lines import Lines
from services.venue_poller.matching import Binance
from shared.errors import Transient
from shared.service import Service
from shared.venuelines import VenueLine

PACE_S = 5.0
DAY_MS = 86_400_000


async def keep_own(board: Board, lines: Lines, service: Service) -> NoReturn:
    recalled = False
    while True:
        with contextlib.suppress(Transient):  # Redis away: the venues' own loops tell of it
            if not recalled:
                await lines.recall()
                recalled = True
            await put_own(await board.binance(), board.coins, lines, service.clock.now_ms())
        await service.clock.sleep(PACE_S)


async def put_own(binance: Binance, coins: Iterable[str], lines: Lines, now_ms: int) -> None:
    """The coins that other venues have too; Binance's own names are composed of a coin and never taken apart."""
    rows = [row for coin in sorted(coins) if (own := binance.of(coin)) for row in own.rows]
    at = max((row.received_ms for row in rows), default=0)
    gone = [row for row in lines.held() if now_ms - row.received_ms > DAY_MS]
    await lines.write(rows, gone, VenueLine(at, now_ms, 0, 0), now_ms)
