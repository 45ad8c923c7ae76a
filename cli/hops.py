"""How each hop of the pipeline stands: judged once, for `oi status` and for the life of one symbol. Pure.

Judged by facts (states, counts, ages, words of a fixed list); what a service says of itself in prose is only shown.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from cli.settings import Settings
from cli.show import DEGRADED, DOWN, GOOD, OFF, UNKNOWN, Hop, age
from cli.state import UNVERIFIED, Snapshot, older, stamp_ms
from cli.words import VERDICTS, sentence
from shared.agreed import FOREIGN_S, METRICS_PORTS, stalled_s
from shared.clock import iso

NAMES = 3
LONGEST_WHY = 300  # characters of the publisher's reason: it may quote what the backend answered
ASTRAY = {"FOREIGN", "HELD_BACK", "IN_DOUBT"}  # the publisher's words for a universe that is not served as it is here
UNITS = {service: "oi-" + service.removeprefix("oi_").replace("_", "-") for service in METRICS_PORTS}
TOLD_BY = {  # hop -> the service that says of itself since when it is so; of the others nobody keeps it
    "feed": "ws_daemon",
    "sweep": "oi_poller",
    "delivery": "publisher",
    "served": "publisher",
    "alerts": "oi_alerter",
    "funding": "funding_api",
    "history": "oi_keeper",
    "venues": "venue_poller",
}


def dated(hop: Hop, seen: Snapshot) -> Hop:
    """The hop with ``since``, where its service says the same of itself: well while it is good, ill while it is not."""
    service = TOLD_BY.get(hop.hop, "")
    agrees = (seen.fact(service, "state") == "ok") == (hop.state == GOOD)
    return msgspec.structs.replace(hop, since=seen.fact(service, "since") or None) if agrees else hop


def names(symbols: Iterable[str]) -> str:
    listed = sorted(symbols)
    return ", ".join(listed[:NAMES]) + (f" and {len(listed) - NAMES} more" if len(listed) > NAMES else "")


def silent(service: str) -> str:
    return f"{service} is not running, or cannot reach Redis: no heartbeat (systemctl status {UNITS[service]})"


def trouble(seen: Snapshot, service: str) -> str:
    """Why a service does not do its job, in its own words; empty when it does."""
    beat = seen.beats.get(service)
    if beat is None:
        return silent(service)
    return "" if beat.get("state") == "ok" else beat.get("detail") or f"{service} does not say what it waits for"


def why_unseen(seen: Snapshot) -> str:
    return seen.fact("publisher", "why")[:LONGEST_WHY] or VERDICTS[UNVERIFIED]


def _through(seen: Snapshot, service: str) -> str:
    where = seen.fact(service, "proxy")
    return f", through {where}" if where else ""


def feed(seen: Snapshot, settings: Settings) -> Hop:
    cause, live = trouble(seen, "ws_daemon"), seen.count("ws_daemon", "connections")
    source = seen.fact("ws_daemon", "source") or "stream"
    state = GOOD
    if cause:
        state = DEGRADED if source == "premiumIndex" else DOWN
    elif live is not None and live < settings.ws_connections:
        state, cause = DEGRADED, f"only {live} of {settings.ws_connections} connections delivers"
    elif seen.fact("ws_daemon", "volumes") == "ticker24h":
        state, cause = DEGRADED, "the stream brings no 24 h volumes: they are asked for by REST, every five minutes"
    newest = max((mark.received_ms for mark in seen.marks.values()), default=None)
    told = f"{live or 'no'} connections, marks by {source}{_through(seen, 'ws_daemon')}"
    return Hop("feed", state, seen.age_s(newest), told if "ws_daemon" in seen.beats else "", cause)


def is_fresh(symbol: str, seen: Snapshot, settings: Settings) -> bool:
    """Whether there is a mark price of it that is young enough to be published."""
    mark = seen.marks.get(symbol)
    return mark is not None and not older(seen.age_s(mark.received_ms), settings.mark_max_age_s)


def marks(seen: Snapshot, settings: Settings) -> Hop:
    if not seen.listed:
        return Hop("marks", DOWN, cause="there is no mark price in Redis")
    total, stale = len(seen.universe), [s for s in seen.universe if not is_fresh(s, seen, settings)]
    oldest = min((seen.marks[s].received_ms for s in seen.universe if s in seen.marks), default=None)
    counts = f"{total - len(stale)} of {total} fresh, {len(seen.listed)} in Redis"
    state = DOWN if 2 * len(stale) > total else DEGRADED if stale else GOOD
    cause = f"no fresh mark price for {names(stale)}" if stale else ""
    return Hop("marks", state, seen.age_s(oldest), counts, cause)


def _foreign_s(seen: Snapshot, fact: str) -> float | None:
    """How long ago another writer was last seen, by that fact; None where it counts as gone."""
    foreign_s = seen.age_s(stamp_ms(seen.fact("publisher", fact)))
    return foreign_s if foreign_s is not None and foreign_s < FOREIGN_S else None


def replaced_s(seen: Snapshot) -> float | None:
    """How long ago another writer was last seen to have replaced the universe; None where it counts as gone."""
    return _foreign_s(seen, "universeForeignAt")


def overwritten(seen: Snapshot) -> str:
    """Whether another writer was lately seen to overwrite values between two batches, in words; empty where not."""
    foreign_s, symbols = _foreign_s(seen, "foreignAt"), seen.count("publisher", "foreignSymbols") or "some"
    if foreign_s is None:
        return ""
    gone = seen.count("publisher", "foreignGone")
    missing = f", and {gone} of ours were not" if gone else ""
    told = f"between two batches another writer's values were served, of {symbols} symbols{missing}"
    return f"{told}, {age(foreign_s)} ago"


def universe(seen: Snapshot, settings: Settings) -> Hop:
    looked = max((member.last_seen_ms for member in seen.universe.values()), default=None)
    counts = f"{len(seen.universe)} symbols"
    if not seen.universe:
        return Hop("universe", DOWN, None, counts, trouble(seen, "oi_poller") or "no symbol is liquid and listed")
    left_alone = (seen.age_s(looked) or 0) > stalled_s(settings.max_interval_s)
    causes = ["not looked at"] if left_alone else []
    if seen.fact("publisher", "universeVerdict") in ASTRAY:
        said = (seen.fact("publisher", name) for name in ("universeVerdict", "universeWhy"))
        causes.append("at the backend " + ": ".join(said))
    elif (foreign_s := replaced_s(seen)) is not None:
        causes.append(f"another writer replaced it at the backend {age(foreign_s)} ago, and it was put back")
    return Hop("universe", DEGRADED if causes else GOOD, seen.age_s(looked), counts, "; ".join(causes))


def by_reason(reasons: Mapping[str, str]) -> str:
    """``2 stale_mark (A, B)``, the commonest first; `oi explain` has the words for each."""
    counted = Counter(reasons.values()).most_common()
    return "; ".join(f"{n} {why} ({names(s for s in reasons if reasons[s] == why)})" for why, n in counted)


def sweep(seen: Snapshot, settings: Settings) -> Hop:
    cause = trouble(seen, "oi_poller")
    last = seen.sweeps[0] if seen.sweeps else None
    if last is None:
        return Hop("sweep", DOWN, cause=cause or "no sweep has landed yet")
    total, failed = len(last.universe()), len(last.failures)
    interval = seen.fact("oi_poller", "interval_s")
    counts = f"{total - failed} of {total} fresh in {(last.ended_ms - last.started_ms) / 1000:.1f} s"
    counts += f", every {interval} s" if interval else ""
    counts += _through(seen, "oi_poller")
    state = DOWN if "oi_poller" not in seen.beats else DEGRADED if cause or 20 * failed > total else GOOD
    if state is GOOD and (seen.age_s(last.ended_ms) or 0) > stalled_s(settings.max_interval_s):
        state, cause = DEGRADED, "no sweep has landed lately"
    cause = "; ".join(part for part in (cause, by_reason(last.failures) if state is not GOOD else "") if part)
    return Hop("sweep", state, seen.age_s(last.ended_ms), counts, cause)


def join(seen: Snapshot, _: Settings) -> Hop:
    out = {symbol: why for symbol, why in seen.left_out.items() if why != "not_in_universe"}
    total = seen.count("publisher", "universe") or len(seen.universe)
    counts = f"{total - len(seen.left_out)} of {total} fit to be published"
    state, cause = DOWN if 2 * len(out) > total else DEGRADED if out else GOOD, by_reason(out)
    if "publisher" not in seen.beats:
        state, cause = UNKNOWN, "the publisher joins, and it is silent"
    return Hop("join", state, seen.batch_s, counts, cause)


def _blocked(seen: Snapshot) -> str:
    """What keeps batches from the backend; empty while cycles end, whatever their verdict."""
    if "publisher" not in seen.beats or seen.fact("publisher", "state") == "starting":
        return trouble(seen, "publisher")
    return seen.fact("publisher", "blocked")


def delivery(seen: Snapshot, settings: Settings) -> Hop:
    learnt, waiting = seen.learnt, seen.count("publisher", "backlog") or 0
    counts = f"{waiting} waiting" if "publisher" in seen.beats else ""
    if learnt.delivered_ms:
        counts += f", last POST took {learnt.post_s:.2f} s (HTTP {learnt.post_status or 'unknown'})"
    counts += f", at most {learnt.max_rows} rows a POST" if learnt.max_rows else ""
    counts += ", the backend replaces its cache" if learnt.merges == "no" else ""
    cause = _blocked(seen)
    when = seen.age_s(learnt.delivered_ms)
    old = older(when, settings.verified_max_age_s)
    state = (DOWN if old or "publisher" not in seen.beats else DEGRADED) if cause else GOOD
    if state is GOOD and (cause := _falls_short(seen, waiting)):
        state = DEGRADED
    return Hop("delivery", state, when, counts, cause)


def _falls_short(seen: Snapshot, waiting: int) -> str:
    """What is amiss though the backend takes batches; empty where nothing is."""
    stored, sent = (seen.count("publisher", name) for name in ("stored", "sent"))
    if stored is not None and sent is not None and stored < sent:
        return f"the backend's database took {stored} of {sent} rows"
    post_s, interval_s = seen.learnt.post_s, _interval_s(seen)
    if interval_s and post_s > interval_s:
        return f"a POST takes {post_s:.1f} s, and sweeps land every {interval_s:.1f} s: some are never sent"
    return f"{waiting} sweeps wait to be delivered; the last POST took {post_s:.1f} s" if waiting > 2 else ""


def _interval_s(seen: Snapshot) -> float:
    """Between two sweeps, as the poller says; 0 where it says nothing."""
    with contextlib.suppress(ValueError):
        return float(seen.fact("oi_poller", "interval_s"))
    return 0.0


def served(seen: Snapshot, settings: Settings) -> Hop:
    when = seen.batch_s
    state, cause = _served(seen, settings)
    if state is GOOD:
        when = seen.age_s(stamp_ms(seen.fact("publisher", "lastSuccess")) or seen.batch_ms)
    return Hop("served", state, when, _served_counts(seen), cause)


def _served_counts(seen: Snapshot) -> str:
    verdict = seen.fact("publisher", "verdict")
    right, total, ghosts = (seen.count("publisher", name) for name in ("served", "universe", "ghosts"))
    counts = f"{verdict}: {'?' if right is None else right} of {total} served as sent, {ghosts or 0} ghosts"
    cached = seen.fact("publisher", "cacheAgeS")
    cache = f"; what is served comes from a cache, {cached} s old" if cached and not seen.is_unseen else ""
    return (counts if verdict else "") + cache


def _served(seen: Snapshot, settings: Settings) -> tuple[str, str]:
    """State and cause."""
    verdict, when = seen.fact("publisher", "verdict"), seen.batch_s
    if when is not None and when > settings.verified_max_age_s:
        return DOWN, f"what is served is {age(when)} old"
    if when is None or not verdict:
        return UNKNOWN, trouble(seen, "publisher") or "no cycle has ended yet"
    if seen.is_unaudited:
        return UNKNOWN, VERDICTS[verdict]
    odd = {s: row.verdict for s, row in seen.served.items() if row.verdict not in {"verified", "kept", "ghost"}}
    why = why_unseen(seen) if seen.is_unseen else by_reason(odd) or seen.fact("publisher", "why")[:LONGEST_WHY]
    right, total = seen.count("publisher", "served"), seen.count("publisher", "universe")
    if right is not None and 2 * right < (total or 0):
        cause = "most of the universe is not served as it should be"
        return DOWN, f"{cause}: {why}" if why else cause
    if verdict == "VERIFIED":
        foreign = overwritten(seen)
        return DEGRADED if foreign else GOOD, foreign
    if seen.count("publisher", "sent") == 0:
        return DEGRADED, "nothing was fit to be sent: what is served grows old"
    return DEGRADED, why or sentence(VERDICTS, verdict)


def alerts(seen: Snapshot, _: Settings) -> Hop:
    if "oi_alerter" not in seen.beats and "oi_alerter" not in seen.groups:
        return Hop("alerts", OFF, cause="oi_alerter has not run here")
    counts = f"{seen.alerts} in a day, {seen.alerts_waiting} waiting, {seen.fact('oi_alerter', 'watched') or 0} watched"
    if seen.learnt.alerts_in_doubt:
        counts += f", {seen.learnt.alerts_in_doubt} in doubt and not sent again"
    return _as_told("alerts", seen, stamp_ms(seen.fact("oi_alerter", "lastSuccess")), counts)


def _as_told(hop: str, seen: Snapshot, newest_ms: int | None, counts: str) -> Hop:
    """A hop beside the way of the numbers, as well as its one service says."""
    service = TOLD_BY[hop]
    cause = trouble(seen, service)
    state = GOOD if not cause else DEGRADED if service in seen.beats else DOWN
    return Hop(hop, state, seen.age_s(newest_ms), counts, cause)


def budget(seen: Snapshot, settings: Settings) -> Hop:
    if seen.ban_ms:
        left, until = age((seen.ban_ms - seen.now_ms) / 1000), iso(seen.ban_ms)
        cause = f"nothing may be sent to the exchange for {left} more, until {until}: banned, or asked to wait"
        return Hop("budget", DOWN, cause=cause)
    beat = seen.beats.get("oi_poller")
    if beat is None:
        return Hop("budget", UNKNOWN, cause=silent("oi_poller"))
    counts = f"weight {beat.get('used_weight', '?')} used this minute"
    stretched = _interval_s(seen) > settings.max_interval_s
    cause = "sweeps are spaced wider than OI_MAX_INTERVAL_SEC: others use up the address's weight" if stretched else ""
    return Hop("budget", DEGRADED if stretched else GOOD, None, counts, cause)


def funding(seen: Snapshot, _: Settings) -> Hop:
    if "funding_api" not in seen.beats:
        return Hop("funding", OFF, cause="funding_api does not run: scripts on this host get no answer from it")
    newest_ms = stamp_ms(seen.fact("funding_api", "lastSuccess"))
    return _as_told("funding", seen, newest_ms, seen.fact("funding_api", "address"))


def history(seen: Snapshot, _: Settings) -> Hop:
    if "oi_keeper" not in seen.beats and not any(group.startswith("keeper") for group in seen.groups):
        return Hop("history", OFF, cause="oi_keeper has not run here: the past is not kept")
    series, size = (seen.count("oi_keeper", name) for name in ("series", "bytes"))
    oldest_ms, newest_ms = (seen.instant_ms("oi_keeper", name) for name in ("oldest_ms", "newest_ms"))
    counts = "" if series is None else f"{series} series, {(size or 0) / 1e6:.1f} MB"
    counts += f", since {iso(oldest_ms)[:16]}Z" if oldest_ms else ""
    return _as_told("history", seen, newest_ms, counts)
