"""The Node backend over HTTP: each route a method, each answer a fact or a typed error.

The key travels in a header of three routes and nowhere else. A 429 silences every request until its time is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import httpx
import msgspec

from services.publisher import wire
from services.publisher.join import Record
from services.publisher.wire import Accepted, Away, InDoubt, Snapshot
from shared import edge, http
from shared.alert import AlertBody
from shared.clock import Clock
from shared.errors import RateLimited, Transient, WireError
from shared.model import Member
from shared.reply import Reply

REPLY_LIMIT = 1024 * 1024
READ_TIMEOUT_S = 10.0  # the public routes answer from memory
OPEN_INTEREST = "/api/market/open-interest"
UNIVERSE = f"{OPEN_INTEREST}/liquid-universe"
ALERTS = "/api/open-interest-alerts"


class Backend:
    def __init__(self, origin: str, key: str, client: httpx.AsyncClient, clock: Clock, timeout_s: float) -> None:
        self.origin = origin
        self._headers = {"X-API-Key": key} if key else {}
        self._client = client
        self._clock = clock
        self._timeout_s = timeout_s
        self._quiet_until_s = 0.0

    async def ingest(self, rows: Sequence[Record], timestamp_ms: int, total: int) -> Accepted:
        answer = await self._post(f"{OPEN_INTEREST}/ingest", wire.encode_batch(rows, timestamp_ms, total))
        try:
            return wire.decode_accepted(answer.body, answer.status)
        except WireError as e:
            raise InDoubt(str(e), answered=True) from e

    async def read_served(self, patience_s: float = READ_TIMEOUT_S, *, past_caches: bool = False) -> Snapshot:
        """What everybody is served, and how old the answer is where a cache before the backend gave it.

        ``past_caches``: at an address of its own.
        """
        params = edge.past_caches(self._clock.now_ms()) if past_caches else None
        reply = await self._get(OPEN_INTEREST, params, patience_s)
        return wire.decode_snapshot(reply.body, edge.cache_age_s(reply, self._clock.now_ms()))

    async def update_universe(self, members: Iterable[Member]) -> None:
        await self._post(f"{UNIVERSE}/update", wire.encode_universe(members, self._clock.now_ms()))

    async def read_universe(self) -> dict[str, str]:
        """The backend's own, past any cache: by an old list ours would be sent again, or somebody else accused."""
        return wire.decode_universe((await self._get(UNIVERSE, edge.past_caches(self._clock.now_ms()))).body)

    async def send_alert(self, alert: AlertBody) -> None:
        """One row of its database: where that fails the backend says 500 itself, and nothing was stored."""
        try:
            await self._post(f"{ALERTS}/ingest", msgspec.json.encode(alert))
        except InDoubt as e:
            if e.own:
                raise Away(str(e), answered=True) from e
            raise

    async def recent_alerts(self, symbol: str) -> list[dict[str, Any]]:
        return wire.decode_alerts((await self._get(ALERTS, {"symbol": symbol, "limit": "100"})).body)

    async def _post(self, path: str, body: bytes) -> Reply:
        """Send with the key. Whatever leaves open whether it was processed is `InDoubt`."""
        headers = {**self._headers, "Content-Type": "application/json"}
        request = self._client.build_request("POST", self.origin + path, content=body, headers=headers)
        try:
            return await self._send(request, self._timeout_s)
        except WireError as e:
            raise InDoubt(str(e), answered=True) from e

    async def _get(self, path: str, params: dict[str, str] | None = None, patience_s: float = READ_TIMEOUT_S) -> Reply:
        """Ask without the key, as everybody does; a cache is asked to let the backend itself answer."""
        headers = {"Cache-Control": "no-cache"}
        request = self._client.build_request("GET", self.origin + path, params=params, headers=headers)
        return await self._send(request, min(patience_s, self._timeout_s))

    async def _send(self, request: httpx.Request, timeout_s: float) -> Reply:
        quiet_s = self._quiet_until_s - self._clock.monotonic_s()
        if quiet_s > 0:
            raise RateLimited("the backend asked for quiet (429)", quiet_s)
        try:
            reply = await http.send(self._client, request, timeout_s=timeout_s, max_bytes=REPLY_LIMIT)
        except Transient as e:
            raise _unanswered(e) from e
        error = wire.failure(reply, self._clock.now_ms(), keyed=request.method == "POST")
        if error is None:
            return reply
        if isinstance(error, RateLimited):
            self._quiet_until_s = self._clock.monotonic_s() + (error.retry_after_s or 0)
        raise error


def _unanswered(error: Transient) -> Away:
    """A connection that never came about carried nothing; any other silence leaves open what happened."""
    if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
        return Away(str(error), answered=False)
    return InDoubt(str(error), answered=False, timed_out=isinstance(error.__cause__, TimeoutError))
