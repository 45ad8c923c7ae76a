"""``oi explain``: the whole life of one number, hop by hop, and in one sentence why it is not there. Pure.

The first hop that is down is at fault; those behind it only pass on what they were not given.
"""

from __future__ import annotations

import difflib

import msgspec

from cli import hops as whole
from cli.hops import UNITS, trouble
from cli.outside import Live
from cli.settings import Settings
from cli.show import DEGRADED, DOWN, EXIT, GOOD, UNKNOWN, Hop, age, clock, money
from cli.spelling import spellings
from cli.state import UNAUDITED, Snapshot, older
from cli.venues import OverVenues
from cli.words import FAILURES, LEFT_OUT, SERVED, VERDICTS, sentence
from shared.clock import iso
from shared.model import Served, backend_key, notional

NEAR = 0.05  # of what we sent, or would send now: another value at this moment is not ours
SKEW_S = 10.0  # how far the publisher lets another machine's clock be off
DONE_BY = {"price": "ws_daemon", "mark": "ws_daemon", "universe": "oi_poller", "reply": "oi_poller"}
PATIENCE_MS = 15_000  # a symbol that entered so lately may not have been swept and delivered yet


class Explained(msgspec.Struct, frozen=True):
    """``answer`` is for people, ``fault`` the hop it blames; ``near`` are names like an unknown one."""

    symbol: str
    state: str
    answer: str
    fault: str = ""
    look: str = ""
    usd: float | None = None
    hops: list[Hop] = []
    near: list[str] = []
    venues: OverVenues | None = None

    @property
    def exit_status(self) -> int:
        return EXIT[self.state]


def resolve(typed: str, seen: Snapshot) -> tuple[str, list[str]]:
    """The symbol that is meant, or "" and the nearest names: ``eth`` and ``ETH-USDT`` are ETHUSDT."""
    known = known_symbols(seen)
    for name in spellings(typed):
        if name in known:
            return name, []
    plain = typed.strip().upper()
    begin = sorted((s for s in known if plain and s.startswith(plain)), key=len)
    close = difflib.get_close_matches(plain, known, 5, 0.5) + difflib.get_close_matches(f"{plain}USDT", known, 5, 0.6)
    return "", list(dict.fromkeys([*begin[:3], *close]))[:5]


def known_symbols(seen: Snapshot) -> set[str]:
    swept: set[str] = set().union(*(sweep.universe() for sweep in seen.sweeps))
    return {*seen.listed, *seen.universe, *seen.contracts, *seen.left_out, *swept}


def unknown(typed: str, near: list[str]) -> Explained:
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return Explained(typed, UNKNOWN, f"nobody here has ever heard of {typed!r:.60}{hint}", near=near)


def explain(symbol: str, seen: Snapshot, settings: Settings, live: Live | str | None) -> Explained:
    """``live``: what the backend serves at this moment; a text: why it could not be asked."""
    hops = [
        _price(symbol, seen, settings),
        _mark(symbol, seen, settings),
        _universe(symbol, seen, settings),
        _reply(symbol, seen, settings),
        _join(symbol, seen),
        _batch(symbol, seen),
        msgspec.structs.replace(whole.dated(whole.delivery(seen, settings), seen), hop="post"),
        _served(symbol, seen, settings, live),
    ]
    usd = live.values.get(backend_key(symbol)) if isinstance(live, Live) else _last_usd(symbol, seen)
    fault = next((hop for hop in hops if hop.state == DOWN), None)
    *_, post, last = hops
    if fault is last and post.state != GOOD:
        fault = post  # what keeps batches from the backend is why it does not show them
    if not fault and last.state == GOOD:
        answer = f"{symbol} is right: ${money(usd)}, served as it was sent, {age(last.age_s)} old"
        return Explained(symbol, GOOD, answer, usd=usd, hops=hops)
    if not fault and last.state == UNKNOWN:
        answer = f"{symbol} cannot be judged: {last.cause}" + (f"; the backend serves ${money(usd)}" if usd else "")
        return Explained(symbol, UNKNOWN, answer, last.hop, "", usd, hops)
    fault = fault or next(hop for hop in hops if hop.state != GOOD)
    state = DOWN if usd is None else DEGRADED if DOWN in {hop.state for hop in hops} else last.state
    answer = f"{symbol} is missing: {fault.cause}"
    if usd is not None:
        answer = f"{symbol} is not to be trusted: {fault.cause}; {_held(symbol, seen, usd, last, live)}"
    return Explained(symbol, state, answer, fault.hop, _look(symbol, fault), usd, hops)


def _held(symbol: str, seen: Snapshot, usd: float, last: Hop, live: Live | str | None) -> str:
    """What is served all the same, as far as anybody looked."""
    last_usd = _last_usd(symbol, seen)
    if not seen.is_unseen and not isinstance(live, str) and (last_usd is None or near(usd, last_usd)):
        return f"the backend still serves ${money(usd)}, {age(last.age_s)} old"
    return (
        f"the backend serves ${money(usd)}"
        if last_usd is None
        else f"${money(last_usd)} was seen served {age(last.age_s)} ago"
    )


def _look(symbol: str, fault: Hop) -> str:
    return f"journalctl -u {UNITS[DONE_BY.get(fault.hop, 'publisher')]} -g {symbol} -n 5, and docs/runbook.md"


def _last_usd(symbol: str, seen: Snapshot) -> float | None:
    row = seen.served.get(backend_key(symbol))
    return row.usd if row else None


def _price(symbol: str, seen: Snapshot, settings: Settings) -> Hop:
    mark = seen.marks.get(symbol)
    if mark is None:
        return Hop("price", UNKNOWN, cause="no price of the exchange is known here")
    when = (seen.now_ms - mark.event_ms) / 1000
    counts = f"mark {mark.mark_price:f} at the exchange's {clock(iso(mark.event_ms))}"
    if whole.is_fresh(symbol, seen, settings) and settings.mark_max_age_s < abs(when) - SKEW_S:
        cause = f"the exchange stamps its price {age(abs(when))} {'ago' if when > 0 else 'ahead'}: clocks differ"
        return Hop("price", DOWN, when, counts, cause)
    return Hop("price", GOOD, when, counts)


def _mark(symbol: str, seen: Snapshot, settings: Settings) -> Hop:
    mark = seen.marks.get(symbol)
    when = seen.age_s(mark.received_ms) if mark else None
    if mark and whole.is_fresh(symbol, seen, settings):
        return Hop("mark", GOOD, when, f"mark {mark.mark_price:f} in Redis")
    if symbol not in seen.universe:
        return Hop("mark", DEGRADED, when, cause="it is no longer updated" if mark else "there is none")
    what = f"its mark price is {age(when)} old" if mark else "it has no mark price"
    of_all, fresh = whole.marks(seen, settings), sum(whole.is_fresh(s, seen, settings) for s in seen.universe)
    cause = trouble(seen, "ws_daemon") or (of_all.cause if of_all.state == DOWN else "")
    cause = cause or f"the stream sends no usable price for it (no row, or malformed), while {fresh} others are fresh"
    return Hop("mark", DOWN, when, cause=f"{what}: {cause}")


def last_failure(symbol: str, seen: Snapshot) -> tuple[str, int] | None:
    """Its latest failure among the newest sweeps: reason, and when."""
    return next(((s.failures[symbol], s.ended_ms) for s in seen.sweeps if symbol in s.failures), None)


def _universe(symbol: str, seen: Snapshot, settings: Settings) -> Hop:
    member = seen.universe.get(symbol)
    if member:
        counts = f"in it since {iso(member.entered_ms)[:16]}Z, 24 h volume ${money(float(member.quote_volume))}"
        return Hop("universe", GOOD, seen.age_s(member.last_seen_ms), counts)
    failed, volume = last_failure(symbol, seen), seen.volumes.get(symbol)
    if failed and failed[0] in {"not_trading", "invalid_symbol"}:
        why = f"{sentence(FAILURES, failed[0])}; it said so at {clock(iso(failed[1]))}"
    elif not seen.universe:
        why = whole.universe(seen, settings).cause
    elif symbol in seen.fact("oi_poller", "delisted").split(","):
        why = "the exchange no longer lists it as TRADING"
    elif volume and volume.quote_volume < _threshold(symbol, seen, settings):
        limit = _threshold(symbol, seen, settings)
        verb = "stay in" if limit == settings.exit_quote else "enter"
        why = f"its 24 h volume of ${money(float(volume.quote_volume))} is under the ${money(limit)} it takes to {verb}"
    else:
        why = "the exchange lists it as not TRADING, or OI_CONTRACT_TYPES or OI_QUOTE_ASSETS leaves out its kind"
    return Hop("universe", DOWN, cause=f"it is not polled: {why}")


def _threshold(symbol: str, seen: Snapshot, settings: Settings) -> float:
    """One that was swept a moment ago fell under the lower threshold; any other never reached the upper."""
    left = any(symbol in sweep.readings for sweep in seen.sweeps)
    return settings.exit_quote if left else settings.enter_quote


def _reply(symbol: str, seen: Snapshot, settings: Settings) -> Hop:
    reading, failed = seen.contracts.get(symbol), last_failure(symbol, seen)
    cause = trouble(seen, "oi_poller")
    now = bool(seen.sweeps) and symbol in seen.sweeps[0].failures
    if now and failed:
        cause = sentence(FAILURES, failed[0])
    if seen.ban_ms:
        cause = whole.budget(seen, settings).cause
    if reading is None:
        return Hop("reply", UNKNOWN if symbol not in seen.universe else DOWN, cause=cause or "not swept yet")
    oi = reading.open_interest
    when = seen.age_s(oi.received_ms)
    counts = f"{oi.open_interest:f} contracts, last changed {age(seen.age_s(oi.changed_ms))} ago"
    if when is not None and when > settings.oi_max_age_s:
        cause = cause or "no sweep has brought it since"
        return Hop("reply", DOWN, when, counts, f"its open interest is {age(when)} old: {cause}")
    if oi.open_interest <= 0:
        return Hop("reply", DOWN, when, counts, LEFT_OUT["zero_open_interest"])
    if cause:
        return Hop("reply", DEGRADED, when, counts, f"{cause}; its last good value is carried")
    return Hop("reply", GOOD, when, counts)


def _join(symbol: str, seen: Snapshot) -> Hop:
    why = seen.left_out.get(symbol)
    when = seen.batch_s
    if why:
        return Hop("join", DOWN, when, why, sentence(LEFT_OUT, why))
    if symbol not in seen.universe:
        return Hop("join", UNKNOWN, when, cause="nothing to join")
    return Hop("join", GOOD, when, "open interest met a fresh mark price")


def _batch(symbol: str, seen: Snapshot) -> Hop:
    when, row = seen.batch_s, seen.served.get(backend_key(symbol))
    if when is None:
        return Hop("batch", UNKNOWN, cause=trouble(seen, "publisher") or "no batch has gone out yet")
    if seen.is_unaudited and symbol not in seen.left_out:
        return Hop("batch", UNKNOWN, when, cause=VERDICTS[UNAUDITED])
    if row is None or row.verdict in {"kept", "ghost"}:
        member = seen.universe.get(symbol)
        new = member and not row and seen.now_ms - member.entered_ms < PATIENCE_MS
        cause = "it entered the universe a moment ago" if new else "it was not in the last batch"
        return Hop("batch", UNKNOWN if symbol not in seen.left_out else DOWN, when, cause=cause)
    return Hop("batch", GOOD, when, f"in the batch of {clock(iso(seen.batch_ms or 0))}")


def _served(symbol: str, seen: Snapshot, settings: Settings, live: Live | str | None) -> Hop:
    row = seen.served.get(backend_key(symbol))
    fresh = row is not None and not seen.is_unseen and row.verdict not in {"kept", "ghost", "outdated"}
    when = seen.batch_s if fresh else seen.age_s(row.since_ms) if row else None
    right = row is not None and row.verdict == "verified" and not seen.is_unseen
    counts = f"${money(row.usd)}{', served as sent' if right else ''}" if row and row.usd is not None else ""
    counts += f"; {live.cache}" if isinstance(live, Live) and live.cache else ""
    if isinstance(live, Live) and backend_key(symbol) not in live.values:
        cause = "the backend showed it a moment ago and does no longer: it has lost its cache" if right else ""
        return Hop("served", DOWN, when, cause=cause or (sentence(SERVED, row.verdict) if row else "not served"))
    if row is None:
        state, cause = (UNKNOWN, VERDICTS[UNAUDITED]) if seen.is_unaudited else (DOWN, "no audit has seen it served")
        return Hop("served", state, None, counts, cause)
    cause = _distrust(symbol, seen, row, live)
    if not cause and older(when, settings.verified_max_age_s):
        cause = f"what is served is {age(when)} old"
    if row.verdict == "missing" and not seen.is_unseen:
        return Hop("served", DOWN, when, counts, cause)
    return Hop("served", DEGRADED if cause else GOOD, when, counts, cause, iso(row.since_ms))


def _distrust(symbol: str, seen: Snapshot, row: Served, live: Live | str | None) -> str:
    """Why the value that is served is not taken for the one that was sent; empty where it is."""
    if seen.is_unseen:
        return whole.why_unseen(seen)
    if row.verdict != "verified":
        return sentence(SERVED, row.verdict)
    if isinstance(live, str):
        return f"the backend cannot be asked now: {live}"
    now_usd = live.values[backend_key(symbol)] if isinstance(live, Live) and live.cached_s is None else row.usd
    if any(now_usd and near(now_usd, ours) for ours in (row.usd, _worth(symbol, seen))):
        return ""
    return f"${money(now_usd)} is served at this moment, and nobody here sent that"


def _worth(symbol: str, seen: Snapshot) -> float | None:
    """What a batch that is younger than the last audit would say of it."""
    reading, mark = seen.contracts.get(symbol), seen.marks.get(symbol)
    return float(notional(reading.open_interest.open_interest, mark.mark_price)) if reading and mark else None


def near(usd: float, ours: float | None) -> bool:
    return ours is not None and abs(usd - ours) <= NEAR * abs(ours)
