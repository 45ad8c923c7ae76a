"""A venue is asked: one request after the other, nothing during a ban, and what its answer means."""

from __future__ import annotations

from httpx import AsyncClient

from services.venue_poller.venue import Decoded, Request, Venue
from shared import http as wire
from shared import reply as replies
from shared.ban import Ban
from shared.clock import Clock
from shared.errors import Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.reply import Reply

TIMEOUT_S = 5.0
LONGEST_BYTES = 16 * 1024 * 1024
FORBIDDEN_S = 600.0
DEFAULT_429_S = 60.0
LONGEST_S = 86_400.0


def failure(reply: Reply, now_ms: int) -> Exception | None:
    """What this answer means; None for a good one. A 403 is how a firewall tells of too many requests: a ban."""
    said = f"{reply.status} {replies.excerpt(reply.body, 80)}"
    told_s = min(replies.retry_after_s(reply.headers, now_ms) or 0.0, LONGEST_S)
    if reply.status in {403, 418}:
        wait_s = max(told_s, FORBIDDEN_S)
        return Banned(said, wait_s, now_ms + int(wait_s * 1000))
    if reply.status == 429 or (told_s and reply.status != 200):  # a 503 of maintenance says for how long as well
        return RateLimited(said, told_s or DEFAULT_429_S)
    if reply.status == 451:
        return Refused(f"it does not serve this location: {said}")
    if reply.status >= 500 or reply.status == 408:
        return Transient(said)
    if reply.status != 200:
        return Rejected(said)
    return None if replies.json_start(reply.body) else WireError("not_json", said)


class Guest:
    """``ban`` remembers for how long the venue wants to hear nothing, also over a restart."""

    def __init__(self, venue: Venue, origin: str, http: AsyncClient, ban: Ban, clock: Clock) -> None:
        self.venue = venue
        self.ban = ban
        self._origin = origin
        self._http = http
        self._clock = clock

    async def ask(self) -> Decoded:
        """Every contract of the venue. Raises what `failure` makes of an answer, and what its decoder raises."""
        await self.ban.refresh()
        self.ban.check()
        try:
            bodies = [await self._body(request) for request in self.venue.requests]
            return self.venue.decode(bodies, self._clock.now_ms())
        except RateLimited as e:
            await self.ban.record(e)
            raise

    async def _body(self, asked: Request) -> bytes:
        request = self._http.build_request(
            "GET" if asked.body is None else "POST",
            self._origin + asked.path,
            params=dict(asked.params) or None,
            content=asked.body,
            headers=None if asked.body is None else {"Content-Type": "application/json"},
        )
        reply = await wire.send(self._http, request, timeout_s=TIMEOUT_S, max_bytes=LONGEST_BYTES)
        error = failure(reply, self._clock.now_ms())
        if error is not None:
            raise error
        return reply.body
