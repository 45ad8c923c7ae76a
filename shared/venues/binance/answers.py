"""What an answer of the REST API means: a good one, or the error that says what to do next. Pure.

Source of the verdicts: the exchange's error-code page and measured bodies. A 429 and a 418 carry the same code -1003
in three wordings; -4108 is undocumented; maintenance may come without ``code``; a 403 is HTML of the firewall.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from shared import reply as replies
from shared.errors import UNREADABLE, Banned, RateLimited, Refused, Rejected, Transient, WireError
from shared.numbers import whole
from shared.reply import Reply

DEFAULT_429_S = 60.0
DEFAULT_418_S = 120.0
LONGEST_BAN_S = 7 * 86400.0  # bans reach three days; what is longer is a mistake in the text
INVALID_SYMBOL = -1121
NOT_TRADING = -4108
MAINTENANCE = -1016
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")


class _ErrorBody(msgspec.Struct):
    code: int = 0


_error_body = msgspec.json.Decoder(_ErrorBody)


def error_code(body: bytes) -> int:
    """The exchange's own number of an error; 0 where the body has none."""
    try:
        return _error_body.decode(body).code
    except UNREADABLE:
        return 0


def ban_s(reply: Reply, venue_ms: int) -> float:
    """How long a 418 keeps us out: the header, else the time in the text, else two minutes."""
    wait_s = replies.retry_after_s(reply.headers, venue_ms)
    if not wait_s:  # of a header that says 0 the text knows better
        found = _BANNED_UNTIL.search(reply.body)
        wait_s = (int(found[1]) - venue_ms) / 1000 if found else DEFAULT_418_S
    return min(max(wait_s, 1.0), LONGEST_BAN_S)


def date_ms(reply: Reply) -> int | None:
    """The exchange's own clock when it answered, in whole seconds; None when it did not say."""
    return _date_ms(reply.headers.get("date", ""))


_date_ms = lru_cache(maxsize=4)(replies.http_date_ms)  # hundreds of answers carry the same second


def failure(reply: Reply, now_ms: int) -> Exception | None:
    """What this answer means for the caller; None when it is a good one.

    A ``Retry-After`` that is a date is of the exchange's clock, as its ``Date`` is; ours may be wrong.
    """
    venue_ms = date_ms(reply) or now_ms
    if reply.status == 418:
        wait_s = ban_s(reply, venue_ms)
        return Banned(f"418 {replies.excerpt(reply.body)}", wait_s, now_ms + int(wait_s * 1000))
    if reply.status == 429:
        wait_s = min(replies.retry_after_s(reply.headers, venue_ms) or DEFAULT_429_S, LONGEST_BAN_S)
        return RateLimited(f"429 {replies.excerpt(reply.body)}", wait_s)
    if reply.status == 200 and not replies.json_start(reply.body):
        return WireError("not_json", f"200 {replies.excerpt(reply.body)}")
    told = len(reply.body) < 1024 and (b'"msg"' in reply.body or b"maintenance" in reply.body)
    return _by_body(reply, venue_ms) if told or reply.status != 200 else None


def _by_body(reply: Reply, venue_ms: int) -> Exception:
    said = f"{reply.status} {replies.excerpt(reply.body)}"
    code = error_code(reply.body)
    if code == MAINTENANCE or b"maintenance" in reply.body:
        return Refused(f"the exchange is under maintenance: {said}")
    if reply.status in {401, 407}:  # of an http:// origin; on the way to https:// the transport meets them
        return Refused(f"a proxy on the way wants another user or password: {said}")
    if reply.status == 451:
        return Refused(f"the exchange does not serve this location: {said}")
    if reply.status == 403:
        return Refused(f"the firewall in front of the exchange blocks this address: {said}")
    if reply.status >= 500 or reply.status == 408 or code in {-1000, -1001, -1006, -1007, -1008}:
        return Transient(said, replies.retry_after_s(reply.headers, venue_ms))
    return Rejected(said, code)


def used_weight(reply: Reply) -> int | None:
    """The exchange's own count for this address and minute; None on routes that carry no weight."""
    return whole(reply.headers.get("x-mbx-used-weight-1m"))
