"""Checks of the backend: what it serves, whether it takes the key, how it treats a batch, who else writes."""

from __future__ import annotations

import time

import msgspec

from cli import outside
from cli.doctor.finding import Finding, Patient
from cli.show import DEGRADED, DOWN, GOOD, UNKNOWN, age
from cli.state import Snapshot
from cli.status import names
from shared import http
from shared.clock import iso
from shared.errors import Transient, WireError
from shared.reply import Reply

LEARNT_MS = 3_600_000


async def serving(p: Patient) -> list[Finding]:
    url = p.told.settings.backend_url
    if not url:
        return [Finding("backend", UNKNOWN, "BACKEND_URL is not set here", p.told.source, "oi --env-file, as root")]
    try:
        live = await outside.served(p.client, url)
    except Transient as e:
        fix = "check BACKEND_URL and the backend; sweeps wait in Redis for three hours"
        return [Finding("backend", DOWN, "the backend does not say what it serves", f"{url}: {e}"[:200], fix)]
    p.values = live.values
    old_s = None if live.as_of_ms is None else time.time() - live.as_of_ms / 1000
    said = f"{len(live.values)} symbols, {age(old_s)} old, from {url}"
    if not live.values or old_s is None or old_s > p.told.settings.verified_max_age_s:
        return [Finding("backend", DEGRADED, "what the backend serves is old or nothing", said, "oi status says why")]
    return [Finding("backend", GOOD, "the backend serves", said)]


async def key(p: Patient) -> list[Finding]:
    s = p.told.settings
    if not s.backend_url or not s.backend_api_key or not s.key_may_travel:
        why = "no key is known to this user" if not s.backend_api_key else "it may not travel to that address"
        return [Finding("key", UNKNOWN, "whether the backend takes the key cannot be told", why, "run it as root")]
    try:
        reply = await _post(p, "{}")
    except (Transient, WireError) as e:
        return [Finding("key", UNKNOWN, "whether the backend takes the key cannot be told", str(e)[:200])]
    said = f"HTTP {reply.status} to an empty object"
    if reply.status in {401, 403}:
        fix = "put the backend's key into /etc/oi-pipeline/backend_api_key, and systemctl restart oi-publisher"
        return [Finding("key", DOWN, "the backend refuses the key", said, fix)]
    if reply.status in {400, 422}:
        return [Finding("key", GOOD, "the backend takes the key", said)]
    return [Finding("key", UNKNOWN, "whether the backend takes the key cannot be told", said)]


async def _post(p: Patient, body: str | bytes) -> Reply:
    headers = {"X-API-Key": p.told.settings.backend_api_key, "Content-Type": "application/json"}
    url = f"{p.told.settings.backend_url}{outside.OPEN_INTEREST}/ingest"
    request = p.client.build_request("POST", url, content=body, headers=headers)
    return await http.send(p.client, request, timeout_s=5.0, max_bytes=outside.REPLY_LIMIT)


async def sizes(p: Patient) -> list[Finding]:
    if p.seen is None:
        return []
    learnt = p.seen.learnt
    if learnt.max_rows and p.seen.now_ms - learnt.max_rows_ms < LEARNT_MS:
        fix = "raise the body limit of the backend or of the proxy before it (nginx: client_max_body_size)"
        said = f"413 at {iso(learnt.max_rows_ms)}; since then at most {learnt.max_rows} rows a POST"
        return [Finding("size", DEGRADED, "the backend takes small batches only", said, fix)]
    return [Finding("size", GOOD, "no batch was too large for the backend", "no 413 within an hour")]


async def cache(p: Patient) -> list[Finding]:
    """Replace or merge: as the publisher found out, as old values give away, or by the canary."""
    if p.seen is None:
        return []
    if p.probe:
        return [await _canary(p, p.seen)]
    if p.seen.learnt.replaces:
        fix = "none needed: whole batches are sent in one POST; keep the body limit above that"
        return [Finding("cache", GOOD, "the backend replaces its cache with each POST", "learnt by the publisher", fix)]
    old = [key for key, row in p.seen.served.items() if row.verdict in {"kept", "ghost"}]
    if old:
        return [Finding("cache", GOOD, "the backend merges each POST into its cache", f"still served: {names(old)}")]
    fix = (
        "--probe-backend posts one row again and looks; where it replaces, only that row is served until the next batch"
    )
    return [Finding("cache", UNKNOWN, "whether the backend replaces or merges is not known", fix=fix)]


async def _canary(p: Patient, seen: Snapshot) -> Finding:
    """One row as it is served, posted once more: a merging backend shows no change at all."""
    fit = [s for s in seen.contracts if s in p.values and seen.contracts[s].open_interest.open_interest > 0]
    if len(p.values) < 2 or not fit or not p.told.settings.backend_api_key or not p.told.settings.key_may_travel:
        return Finding("cache", UNKNOWN, "the canary needs a backend that serves, and its key")
    symbol = min(fit, key=lambda s: p.values[s])
    try:
        before = await outside.served(p.client, p.told.settings.backend_url)
        usd, contracts = before.values[symbol], float(seen.contracts[symbol].open_interest.open_interest)
        row = {"symbol": symbol, "openInterest": contracts, "openInterestUsd": usd, "markPrice": usd / contracts}
        stamp = iso(before.as_of_ms or seen.now_ms)
        body = {"data": [row], "timestamp": stamp, "totalSymbols": 1, "source": "realtime"}
        reply = await _post(p, msgspec.json.encode(body))
        after = await outside.served(p.client, p.told.settings.backend_url)
    except (Transient, WireError, KeyError) as e:
        return Finding("cache", UNKNOWN, "the canary told nothing", str(e)[:200])
    said = f"{symbol} posted again: {len(before.values)} served before, {len(after.values)} after, HTTP {reply.status}"
    if reply.status not in {200, 201} or after.as_of_ms != before.as_of_ms:
        return Finding("cache", UNKNOWN, "the canary told nothing: refused, or another batch came meanwhile", said)
    if len(after.values) == 1:
        return Finding(
            "cache", GOOD, "the backend replaces its cache with each POST", said, "the next batch restores it"
        )
    return Finding("cache", GOOD, "the backend merges each POST into its cache", said)


async def writers(p: Patient) -> list[Finding]:
    if p.seen is None:
        return []
    if not p.told.settings.audit or not p.seen.served:
        return [Finding("writers", UNKNOWN, "who else writes cannot be told: nothing was audited", "BACKEND_AUDIT")]
    foreign = [key for key, row in p.seen.served.items() if row.verdict == "foreign"]
    if foreign:
        what = "another writer feeds the backend: values are served that nobody here sent"
        fix = "find and stop it (the old poller?), or give it another key; docs/runbook.md"
        return [Finding("writers", DOWN, what, f"{len(foreign)} symbols: {names(foreign)}", fix)]
    return [Finding("writers", GOOD, "nobody else writes", f"{len(p.seen.served)} symbols served, all sent from here")]
