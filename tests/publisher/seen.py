"""What arrived at the backend and what it serves, as tests ask for it."""

from __future__ import annotations

from collections.abc import Callable

from shared.model import notional
from tests.publisher.harness import Publisher

Make = Callable[..., Publisher]
SYMBOLS = 20


def stored_twice(publisher: Publisher) -> int:
    return int(publisher.stand_in.control()["rows"]["repeated"])


def sizes(publisher: Publisher) -> list[int]:
    return [batch["rows"] for batch in publisher.batches() if batch["rows"]]


def expected(publisher: Publisher) -> dict[str, float]:
    """What the newest sweep has to look like on the dashboard."""
    readings = publisher.poller.landed[-1].readings
    return {
        symbol: float(notional(reading.open_interest.open_interest, reading.mark_price))
        for symbol, reading in readings.items()
        if reading.mark_price is not None
    }
