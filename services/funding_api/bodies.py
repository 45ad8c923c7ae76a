"""What answers are made of, field by field; ``/openapi.json`` is generated from this.

Numbers are JSON numbers. Null is what is not known or does not exist, never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Rate = Annotated[float | None, Meta(description="Fraction per interval; null: the contract pays no funding")]
NextFunding = Annotated[int, Meta(description="Unix milliseconds, as the exchange sends it; 0: no funding is paid")]
Received = Annotated[float, Meta(description="Unix seconds at which the value was received")]
Contracts = Annotated[float, Meta(description="Contracts, one being one unit of the base asset")]
Usd = Annotated[float, Meta(description="openInterest x markPrice, in the quote asset")]
ServedUsd = Annotated[float | None, Meta(description="What the backend was last seen to serve")]
ServedSince = Annotated[float | None, Meta(description="Unix seconds since when it serves this value")]
Verdict = Annotated[str, Meta(description="The audit's word for what is served; unknown while nobody audits")]
Connected = Annotated[float | None, Meta(description="Unix seconds at which a stream last began to deliver")]


class Mark(Struct, frozen=True, rename="camel"):
    mark_price: float
    funding_rate: Rate
    next_funding_time: NextFunding
    index_price: float | None
    updated_at: Received


class Funding(Mark, frozen=True, rename="camel"):
    symbol: str
    age_seconds: float


class OpenInterest(Struct, frozen=True, rename="camel"):
    symbol: str
    open_interest: Contracts
    open_interest_usd: Usd
    mark_price: float
    updated_at: Received
    age_seconds: float
    mark_age_seconds: float
    served_usd: ServedUsd
    served_since: ServedSince
    verdict: Verdict


class Problem(Struct, frozen=True, rename="camel"):
    """Why there is no answer, or none for this symbol."""

    error: str
    symbol: str | UnsetType = UNSET
    age_seconds: float | UnsetType = UNSET
    max_age_seconds: float | UnsetType = UNSET
    cause: str | UnsetType = UNSET
    count: int | UnsetType = UNSET
    max_symbols: int | UnsetType = UNSET


class Refusal(Struct, frozen=True):
    detail: Problem


class Health(Struct, frozen=True, rename="camel"):
    status: Literal["healthy", "unhealthy"]
    websocket_connected: bool
    symbol_count: int
    uptime_seconds: float | None
    last_connected_time: Connected
    messages_received: int | None
    reconnect_attempts: int | None
    oldest_data_age_seconds: float | None
    newest_data_age_seconds: float | None
    disconnected_for_seconds: float | UnsetType = UNSET  # since a stream last began to deliver, while none does
    error: str | UnsetType = UNSET


class Connection(Struct, frozen=True):
    """Of the stream, in the words of the old state file; times in Unix seconds."""

    connected: bool
    last_connected_time: float | None
    reconnect_attempts: int
    messages_received: int
    last_message_time: float | None


class State(Struct, frozen=True):
    """The old state file whole. ``updated_at``: Unix seconds at which it was written."""

    funding_state: dict[str, Mark]
    connection_status: Connection
    updated_at: float


class Several(Struct, frozen=True):
    """In ``data``, a symbol without an answer has its `Problem` in its place."""

    data: list[Funding | OpenInterest | Problem]
    found: int
    missing: int
    total: int
