"""What answers are made of, field by field; ``/openapi.json`` is generated from this.

Numbers are JSON numbers. Null is what is not known or does not exist, never 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Rate = Annotated[float | None, Meta(description="Fraction per interval; null: the contract pays no funding")]
NextFunding = Annotated[int, Meta(description="Unix milliseconds, as the exchange sends it; 0: no funding is paid")]
Received = Annotated[float, Meta(description="Unix seconds at which the value was received")]
Contracts = Annotated[float, Meta(description="Contracts, one being one unit of the base asset")]
Usd = Annotated[float, Meta(description="openInterest x markPrice, in the quote asset")]
ServedUsd = Annotated[float | None, Meta(description="What the backend was last seen to serve")]
ServedSince = Annotated[float | None, Meta(description="Unix seconds since when it serves this value")]
Verdict = Annotated[str, Meta(description="The audit's word for what is served; unknown while nobody audits")]
Connected = Annotated[float | None, Meta(description="Unix seconds at which a stream last began to deliver")]
Fraction = Annotated[float, Meta(description="Of the contracts at the base")]
PriceFraction = Annotated[float | None, Meta(description="Of the mark price at the base; null: not known")]
BaseAge = Annotated[float, Meta(description="Seconds from the base to the present value, as they were received")]
Source = Annotated[
    Literal["seen", "exchange"],
    Meta(description="Received by us, or the exchange's own statistic of an hour; the price is then that of its value"),
]
Listed = Annotated[
    float, Meta(description="Unix seconds at which this contract was listed; an older namesake is another")
]


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


class Since(Struct, frozen=True, rename="camel"):
    """By how much something has moved since its base."""

    change: Fraction
    price_change: PriceFraction
    age_seconds: BaseAge


class ChangeRow(Struct, frozen=True, rename="camel"):
    """Null where nothing lies near enough to the base: across a gap, before the listing, for a ticker begun anew."""

    symbol: str
    open_interest: Contracts
    updated_at: Received
    since_5m: Since | None = field(name="5m")
    since_15m: Since | None = field(name="15m")
    since_1h: Since | None = field(name="1h")
    since_4h: Since | None = field(name="4h")
    since_24h: Since | None = field(name="24h")
    since_7d: Since | None = field(name="7d")


class ChangeRows(Struct, frozen=True):
    data: list[ChangeRow]
    total: int


class HistoryRow(Struct, frozen=True, rename="camel"):
    updated_at: Received
    open_interest: Contracts
    mark_price: float | None
    source: Source


class History(Struct, frozen=True):
    """The first row of each step of time, oldest first; a step without one is a gap."""

    symbol: str
    listed_at: Listed = field(name="listedAt")
    from_: float = field(name="from")
    to: float
    step_seconds: int = field(name="stepSeconds")
    rows: list[HistoryRow]


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


Coins = Annotated[float, Meta(description="One unit each: PEPE, also where the contract is of 1000PEPE")]
Age = Annotated[float, Meta(description="Since it was received")]
Unit = Annotated[str, Meta(description="What the figure told counts: base, contracts, usd")]
Sides = Annotated[str, Meta(description="Whose positions the figure counts: one, both, unknown; only one is added up")]
MarkOf = Annotated[str, Meta(description="Whose mark the value is made with: venue, or binance where it tells none")]
Why = Annotated[str | None, Meta(description="Why it is not in the sum, one word of docs/venues.md; null: it is")]
Past = Annotated[float | None, Meta(description="Fraction, over the members that were there then; null: none was")]


class VenueContract(Struct, frozen=True, rename="camel"):
    """One perpetual at one venue, brought to one convention."""

    venue: str
    symbol: str
    open_interest: Coins
    open_interest_usd: float
    sides: Sides
    told: float
    unit: Unit
    mark_price: float
    mark_of: MarkOf
    funding_rate: float | None
    updated_at: Received
    age_seconds: Age
    why_not_summed: Why


class LeftOut(Struct, frozen=True, rename="camel"):
    """A contract that is not in the sum, and why."""

    venue: str
    symbol: str
    why: str
    evidence: str | UnsetType = UNSET
    since: float | UnsetType = UNSET


class VenueShare(Struct, frozen=True, rename="camel"):
    """A venue's part of the sum, as a fraction. An hour ago: null where not every member of now is known of then."""

    venue: str
    now: float
    hour_ago: float | None


class VenueSum(Struct, frozen=True, rename="camel"):
    """Open interest of one coin over venues. Null where no row can be added up: nothing is known, which is not 0."""

    coin: str
    open_interest: float | None
    open_interest_usd: float | None
    members: list[VenueContract]
    left_out: list[LeftOut]
    shown: list[VenueContract]
    shares: list[VenueShare]
    oldest_seconds: float | None
    change5m: Past
    change15m: Past
    change1h: Past


class VenueState(Struct, frozen=True, rename="camel"):
    """How a venue stands. ``believed_at``: Unix seconds of the last round that was believed; null: none yet."""

    venue: str
    believed_at: float | None
    contracts: int
    coins: int
    refused: int
    trouble: str
    warning: str


class Aggregated(Struct, frozen=True, rename="camel"):
    """Every coin that another venue has, and each venue that is read."""

    venues: list[VenueState]
    data: list[VenueSum]
    at: float
