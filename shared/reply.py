"""What came back of one HTTP exchange, and what its headers and first bytes tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol


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
    """``Retry-After`` as seconds from now, either form of it; None when absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment.timestamp() - now_ms / 1000)


def excerpt(body: bytes, longest: int = 160) -> str:
    """The start of a body from outside, fit for one log line."""
    return " ".join(body[: 4 * longest].decode(errors="replace").split())[:longest]


def json_start(body: bytes) -> bool:
    """Whether it can be JSON at all; proxies answer HTML with any status."""
    return body.lstrip()[:1] in (b"{", b"[")
