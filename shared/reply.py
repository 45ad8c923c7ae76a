"""What came back of one HTTP exchange, and what its headers and first bytes tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]  # looked up in any case
    body: bytes


class Get(Protocol):
    """A way to GET. Raises `Transient` for a fault of the way, `WireError` for a body that is too long."""

    async def __call__(
        self, url: str, params: Mapping[str, str] | None, *, timeout_s: float, max_bytes: int
    ) -> Reply: ...


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """``Retry-After`` as seconds from now, either form of it; None when absent or unreadable.

    A proxy that adds one of its own makes it ``120, 120``, and some write ``3.7``; of several the longest counts.
    """
    text = headers.get("retry-after", "")
    waits = [part.strip() for part in text.split(",")]
    if all(_SECONDS.fullmatch(wait) for wait in waits):
        return max(float(wait) for wait in waits)
    moment_ms = http_date_ms(text)
    return None if moment_ms is None else max(0.0, (moment_ms - now_ms) / 1000)


def http_date_ms(text: str) -> int | None:
    """A date of a header as Unix ms, of UTC where it names no zone; None when it is none."""
    try:
        moment = parsedate_to_datetime(text.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def excerpt(body: bytes, longest: int = 160) -> str:
    """The start of a body from outside, fit for one log line."""
    return " ".join(body[: 4 * longest].decode(errors="replace").split())[:longest]


def json_start(body: bytes) -> bool:
    """Whether it can be JSON at all; proxies answer HTML with any status."""
    return body.lstrip()[:1] in (b"{", b"[")
