"""Other venues in `oi status` and `oi explain`: how each stands, and each one's rows of a coin. Pure."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from rich.table import Table
from rich.text import Text

from cli.hops import silent
from cli.show import DEGRADED, DOWN, GOOD, NONE, STYLE, Hop, age, money, plain_table
from cli.state import Snapshot
from cli.words import DOUBTS, sentence
from shared.aggregate import age_s, why_out
from shared.venuelines import BINANCE, AllVenues, VenueLine

OLD_S = 60.0  # a venue that was not believed for so long is told of


class VenueRow(msgspec.Struct, frozen=True, rename="camel"):
    """A contract at a venue. ``why``: one word, empty while it is in the sum; ``cause`` the same in a sentence."""

    venue: str
    symbol: str
    base: Decimal | None
    usd: Decimal | None
    sides: str
    age_s: float | None
    why: str
    cause: str


class OverVenues(msgspec.Struct, frozen=True, rename="camel"):
    """One coin over venues; ``base`` is None where nothing can be added up."""

    coin: str
    base: Decimal | None
    usd: Decimal | None
    oldest_s: float | None
    rows: list[VenueRow]


def hop(seen: Snapshot) -> Hop | None:
    """None where no other venue is read: there is nothing to tell of."""
    told = {venue: line for venue, line in seen.venues.items() if venue != BINANCE}
    works = "venue_poller" in seen.beats
    chosen = [name for name in seen.fact("venue_poller", "venues").split(",") if name] if works else [*told]
    if not chosen:
        return None
    lines = [told[venue] for venue in chosen if venue in told]
    troubles = [f"{venue}: {said}" for venue in chosen if (said := _trouble(seen, told.get(venue)))]
    state = DOWN if len(troubles) == len(chosen) else DEGRADED if troubles else GOOD
    if not works:
        state, troubles = DOWN, [silent("venue_poller")]
    if warning := seen.venues[BINANCE].warning if BINANCE in seen.venues else "":
        state, troubles = (DEGRADED if state == GOOD else state), [*troubles, warning]
    refused = sum(len(line.refused) for line in lines)
    counts = f"{len(chosen)} venues, {sum(line.rows for line in lines)} contracts, {refused} not believed"
    newest = max((line.at for line in lines if line.at), default=None)
    return Hop("venues", state, seen.age_s(newest), counts, "; ".join(troubles))


def _trouble(seen: Snapshot, line: VenueLine | None) -> str:
    if line is None:
        return "not read yet"
    when = seen.age_s(line.at) if line.at else None
    if when is not None and when <= OLD_S:
        return ""
    last = "never believed" if when is None else f"not believed for {age(when)}"
    rests_s = (line.until - seen.now_ms) / 1000
    parts = (last, line.trouble, f"asked again in {age(rests_s)}" if rests_s > 0 else "")
    return ", ".join(part for part in parts if part)


def over_venues(symbol: str, told: AllVenues, now_ms: int) -> OverVenues | None:
    """The coin that Binance lists under this symbol; None where no other venue has it, or none is read."""
    own = told.rows.get(BINANCE, {})
    coin = next((coin for coin, rows in own.items() if symbol in {row.symbol for row in rows}), None)
    if coin is None:
        return None
    found, refused = told.sum(coin, now_ms), told.refused(coin)
    out = {(one.venue, one.symbol): one.why for one in found.out}
    rows = []
    for row in told.of(coin):
        key = row.venue, row.symbol
        why = out.pop(key, "") or why_out(row, now_ms)
        cause = sentence(DOUBTS, why)
        if key in refused and refused[key].why == why:  # else it is out for another reason: no evidence of this one
            cause += f": {refused[key].detail}"
        rows.append(VenueRow(*key, row.base, row.usd, row.sides, age_s(row, now_ms), why, cause if why else ""))
    for (venue, name), why in out.items():  # nothing good of it was ever told
        cause = f"{sentence(DOUBTS, why)}: {refused[venue, name].detail}"
        rows.append(VenueRow(venue, name, None, None, "", None, why, cause))
    known = bool(found.members)
    return OverVenues(coin, found.base if known else None, found.usd if known else None, found.oldest_s, rows)


def table(found: OverVenues) -> Table:
    shown = plain_table()
    for name in ("venue", "contract", found.coin, "USD", "sides", "age"):
        right, named = name in {found.coin, "USD", "age"}, name in {"venue", "contract"}
        # Where it is narrow a name goes on in the next line; a number that was cut would be another number.
        shown.add_column(name, no_wrap=not named, overflow="fold", justify="right" if right else "left")
    shown.add_column("in the sum", ratio=1, overflow="fold")
    for row in found.rows:
        base = NONE if row.base is None else f"{row.base:,.3f}"
        usd = NONE if row.usd is None else f"${money(float(row.usd))}"
        inside = Text(row.cause, STYLE[DEGRADED]) if row.why else Text("yes")
        shown.add_row(Text(row.venue), Text(row.symbol), base, usd, row.sides or NONE, age(row.age_s), inside)
    whole = NONE if found.base is None else f"{found.base:,.3f}"
    usd = NONE if found.usd is None else f"${money(float(found.usd))}"
    members = sum(not row.why for row in found.rows)
    shown.add_row("all", "", whole, usd, "one", age(found.oldest_s), Text(f"{members} of {len(found.rows)}", "dim"))
    return shown
