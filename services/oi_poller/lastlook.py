"""One request of weight 1 near the end of each of the exchange's minutes: what else was sent from this address?

The count begins anew with each minute, so what others send after our last request of a minute is never told to us. A
script that sends at the same second of every minute could stay unseen for ever, and be taken for nobody. Where the
sweeps have used up the minute there is no look, for it could be the one request too many.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NoReturn

from services.oi_poller.exchange import Fapi
from shared.clock import monotonic_ms
from shared.errors import Refused, Rejected, Transient, WireError

UNSEEN = 300  # weight that others may have sent since our last request
APART_S = 1.0  # between two looks at least, however the exchange's clock is corrected


async def look_at_minute_ends(fapi: Fapi, ready: asyncio.Event) -> NoReturn:
    """``ready``: the exchange was asked for the first time, so that its minutes are known, and a ban too."""
    budget, clock = fapi.budget, fapi.clock
    await ready.wait()
    while True:
        await clock.sleep(budget.last_look_ms(monotonic_ms(clock)) / 1000)
        if budget.limit - budget.used(monotonic_ms(clock)) >= UNSEEN:
            with contextlib.suppress(Transient, Refused, Rejected, WireError):  # it is a look at the count, no more
                await fapi.ban.refresh()
                await fapi.server_time()
        await clock.sleep(APART_S)
