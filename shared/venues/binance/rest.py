"""A request to the REST API: what can be asked, what it weighs, and the ban that is obeyed.

2,400 of weight a clock minute (UTC) and address, shared with everything else on it, COIN-M too. A refused request
weighs as much as a good one. `OPEN_INTEREST_HIST` weighs nothing and has a limit of its own: 1,000 in five minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.ban import Ban
from shared.clock import Clock
from shared.errors import RateLimited
from shared.reply import Get, Reply
from shared.venues.binance.answers import failure

LIMIT = 2400  # request weight a minute, where exchangeInfo has not said it yet
TIME = "/fapi/v1/time"  # weight 1
OPEN_INTEREST = "/fapi/v1/openInterest"  # weight 1, one symbol each: there is no other way
EXCHANGE_INFO = "/fapi/v1/exchangeInfo"  # weight 1, 1.2 MB
PREMIUM_INDEX = "/fapi/v1/premiumIndex"  # weight 10 for all symbols
TICKER_24H = "/fapi/v1/ticker/24hr"  # weight 40 for all symbols
OPEN_INTEREST_HIST = "/futures/data/openInterestHist"
REPLY_LIMIT = 16 * 1024 * 1024


@dataclass
class Exchange:
    """A guest of the exchange: sends nothing during a ban."""

    origin: str
    send: Get
    ban: Ban
    clock: Clock
    timeout_s: float = 10.0

    async def get(
        self,
        path: str,
        params: dict[str, str] | None = None,
        on_reply: Callable[[Reply], None] = lambda _: None,
        keeps: type[RateLimited] = RateLimited,
    ) -> bytes:
        """The body of a good answer; raises what `failure` made of any other. One of ``keeps`` silences all services.

        ``on_reply`` gets the answer before it is judged, so that the used weight counts on refusals too.
        """
        self.ban.check()
        reply = await self.send(self.origin + path, params, timeout_s=self.timeout_s, max_bytes=REPLY_LIMIT)
        on_reply(reply)
        error = failure(reply, self.clock.now_ms())
        if error is None:
            return reply.body
        if isinstance(error, keeps):
            await self.ban.record(error)
        raise error
