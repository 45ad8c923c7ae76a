"""What `oi` asks of others: the backend's public endpoint and the services' health. Reads only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from cli.show import age
from shared import edge, http
from shared import reply as replies
from shared.errors import UNREADABLE, Transient, WireError
from shared.model import backend_key
from shared.numbers import finite
from shared.reply import Reply

PATIENCE_S = 3.0
REPLY_LIMIT = 4 * 1024 * 1024
OPEN_INTEREST = "/api/market/open-interest"


class Stopped(Transient):
    """What stands before the backend let the request not through."""


class _Served(msgspec.Struct, rename="camel"):
    data: dict[str, Any]
    as_of: float | None = None


class Live(msgspec.Struct, frozen=True):
    """What the backend serves now, by its own spelling. ``cached_s``: how old it left a cache, if it did."""

    values: dict[str, float]
    as_of_ms: int | None
    cached_s: float | None = None
    unreadable: int = 0  # symbols served with what is no number

    @property
    def cache(self) -> str:
        return "" if self.cached_s is None else f"what is served comes from a cache, {age(self.cached_s)} old"


async def get(
    client: httpx.AsyncClient, url: str, patience_s: float = PATIENCE_S, params: dict[str, str] | None = None
) -> Reply:
    request = client.build_request("GET", url, params=params)
    return await http.send(client, request, timeout_s=patience_s, max_bytes=REPLY_LIMIT)


async def served(client: httpx.AsyncClient, backend_url: str, *, past_caches: bool = False) -> Live:
    """Raises `Transient` with the reason where there is nothing to read.

    ``past_caches``: at an address of its own.
    """
    params = edge.past_caches(time.time_ns() // 1_000_000) if past_caches else None
    try:
        reply = await get(client, backend_url + OPEN_INTEREST, params=params)
        stopped = edge.wall(reply)
        if stopped:
            raise Stopped(f"the public GET, which carries no key, is stopped by {stopped}")
        if reply.status != 200:
            raise Transient(f"{reply.status} {replies.excerpt(reply.body)}")
        body = msgspec.json.decode(reply.body, type=_Served)
    except (WireError, *UNREADABLE) as e:
        raise Transient(f"its answer cannot be read: {e}"[:160]) from e
    read = {backend_key(symbol): _number(value) for symbol, value in body.data.items()}
    values = {key: usd for key, usd in read.items() if usd is not None}
    as_of_ms = None if body.as_of is None else int(body.as_of)
    return Live(values, as_of_ms, edge.cache_age_s(reply, time.time_ns() // 1_000_000), len(read) - len(values))


def _number(value: Any) -> float | None:
    """In quotes too, as the publisher reads it; what is no number costs only its symbol."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return float(finite(value) if isinstance(value, str) else msgspec.convert(value, float))
    return None


async def health(urls: Mapping[str, str]) -> dict[str, dict[str, str] | None]:
    """What each service says of itself; None where it does not answer."""

    async def ask(client: httpx.AsyncClient, url: str) -> dict[str, str] | None:
        try:
            reply = await get(client, url)
            said = msgspec.json.decode(reply.body)
        except (Transient, WireError, *UNREADABLE):
            return None
        return {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else None

    async with http.client(connections=len(urls) or 1) as client:
        answers = await asyncio.gather(*(ask(client, url) for url in urls.values()))
    return dict(zip(urls, answers, strict=True))
