"""Checks of the backend: what it serves, whether it takes the key, how it treats a batch, who else writes."""

from __future__ import annotations

import time

from cli import outside
from cli.doctor.finding import Finding, Patient
from cli.hops import names, overwritten, replaced_s, why_unseen
from cli.show import DEGRADED, DOWN, GOOD, UNKNOWN, age
from cli.state import older
from shared import http
from shared.agreed import unfit_key
from shared.clock import iso
from shared.edge import wall
from shared.errors import Transient, WireError
from shared.reply import Reply

LEARNT_MS = 3_600_000
LEARNT = "learned by the publisher"


async def serving(p: Patient) -> list[Finding]:
    url = p.given.settings.backend_url
    if not url:
        return [Finding("backend", UNKNOWN, "BACKEND_URL is not set here", p.given.source, "oi --env-file, as root")]
    try:
        behind = await outside.served(p.client, url, past_caches=True)
        live = await outside.served(p.client, url)
    except Transient as e:
        fix = "check BACKEND_URL and the backend; sweeps wait in Redis for three hours"
        if isinstance(e, outside.Stopped):
            fix = f"let GET {outside.OPEN_INTEREST} pass at the edge; until then no cycle can be verified"
        return [Finding("backend", DOWN, "the backend does not say what it serves", f"{url}: {e}"[:200], fix)]
    old_s = None if live.as_of_ms is None else time.time() - live.as_of_ms / 1000
    said = f"{len(live.values)} symbols, {age(old_s)} old, from {url}"
    cached = live.cache or _silent_cache(live.as_of_ms, behind.as_of_ms)
    if cached:
        fix = f"let the edge pass {outside.OPEN_INTEREST} through, or cache it for a second at most"
        return [Finding("backend", DEGRADED, f"{cached}: that old is what readers get", said, fix)]
    if live.unreadable:
        what = f"{live.unreadable} symbols are served in a form that is no number"
        return [Finding("backend", DEGRADED, what, said, "look at the backend: GET " + outside.OPEN_INTEREST)]
    if not live.values or older(old_s, p.given.settings.verified_max_age_s):
        return [Finding("backend", DEGRADED, "what the backend serves is old or nothing", said, "oi status says why")]
    return [Finding("backend", GOOD, "the backend serves", said)]


def _silent_cache(as_of_ms: int | None, behind_ms: int | None) -> str:
    """What is wrong where older values are served than the backend showed a moment before; empty where nothing is."""
    if as_of_ms is None or behind_ms is None or as_of_ms >= behind_ms:
        return ""
    older_s = age((behind_ms - as_of_ms) / 1000)
    return f"what is served comes from a cache that does not say so, {older_s} older than the backend's own"


async def key(p: Patient) -> list[Finding]:
    """Judged by the one request that carries it; what the public GET is answered says nothing of the key."""
    s = p.given.settings
    cannot = "whether the backend takes the key cannot be told"
    if not s.backend_url or not s.backend_api_key or not s.key_may_travel:
        why = "no key is known to this user" if not s.backend_api_key else "it may not travel to that address"
        return [Finding("key", UNKNOWN, cannot, why, "run it as root")]
    if unfit := unfit_key(s.backend_api_key):
        return [Finding("key", DOWN, "BACKEND_API_KEY is no key", f"it {unfit}", "write the key as it was given out")]
    try:
        reply = await _post_nothing(p)
    except (Transient, WireError) as e:
        return [Finding("key", UNKNOWN, cannot, str(e)[:200])]
    said = f"HTTP {reply.status} to an empty object"
    stopped = wall(reply)
    if stopped:
        fix = f"let POST {outside.OPEN_INTEREST}/ingest pass at the edge for this address"
        return [Finding("key", DOWN, f"POSTs with the key are stopped by {stopped}", said, fix)]
    if reply.status in {401, 403}:
        fix = "put the backend's key into /etc/oi-pipeline/backend_api_key, and systemctl restart oi-publisher"
        return [Finding("key", DOWN, "the backend refuses the key", said, fix)]
    if reply.status in {400, 422}:
        return [Finding("key", GOOD, "the backend takes the key", said)]
    return [Finding("key", UNKNOWN, cannot, said)]


async def _post_nothing(p: Patient) -> Reply:
    headers = {"X-API-Key": p.given.settings.backend_api_key, "Content-Type": "application/json"}
    url = f"{p.given.settings.backend_url}{outside.OPEN_INTEREST}/ingest"
    request = p.client.build_request("POST", url, content="{}", headers=headers)
    return await http.send(p.client, request, timeout_s=5.0, max_bytes=outside.REPLY_LIMIT)


async def sizes(p: Patient) -> list[Finding]:
    learnt = p.seen.learnt
    if learnt.max_rows and p.seen.now_ms - learnt.refused_ms < LEARNT_MS:
        fix = "raise the body limit of the backend or of the proxy before it (nginx: client_max_body_size)"
        said = f"413 at {iso(learnt.refused_ms)}; since then at most {learnt.max_rows} rows a POST"
        return [Finding("size", DEGRADED, "the backend takes small batches only", said, fix)]
    return [Finding("size", GOOD, "no batch was too large for the backend", "no 413 within an hour")]


async def cache(p: Patient) -> list[Finding]:
    """Replace or merge, as the publisher learned from its own batches."""
    merges = p.seen.fact("publisher", "backendMerges") or p.seen.learnt.merges
    if merges == "no":
        fix = "none needed: whole batches are sent in one POST; keep the body limit above that"
        return [Finding("cache", GOOD, "the backend replaces its cache with each POST", LEARNT, fix)]
    if merges == "yes":
        return [Finding("cache", GOOD, "the backend merges each POST into its cache", LEARNT)]
    why = "the publisher learns it from batches that leave a symbol out or travel in pieces"
    return [Finding("cache", UNKNOWN, "whether the backend replaces or merges is not known yet", why)]


async def writers(p: Patient) -> list[Finding]:
    if not p.given.settings.audit or not p.seen.served:
        return [Finding("writers", UNKNOWN, "who else writes cannot be told: nothing was audited", "BACKEND_AUDIT")]
    foreign = [] if p.seen.is_unseen else [key for key, row in p.seen.served.items() if row.verdict == "foreign"]
    if foreign or overwritten(p.seen):
        what = "another writer feeds the backend: values are served that nobody here sent"
        fix = "find and stop it (the old poller?), or give it another key; docs/runbook.md"
        said = f"{len(foreign)} symbols: {names(foreign)}" if foreign else overwritten(p.seen)
        return [Finding("writers", DOWN, what, said, fix)]
    foreign_s = replaced_s(p.seen)
    if foreign_s is not None:
        what = "another writer replaces the universe at the backend"
        fix = "find and stop it (oi-liquid-universe.timer of the old installation?); docs/runbook.md"
        return [Finding("writers", DEGRADED, what, f"seen {age(foreign_s)} ago; ours is put back each time", fix)]
    if p.seen.is_unseen:
        return [Finding("writers", UNKNOWN, "who else writes cannot be told", why_unseen(p.seen))]
    return [Finding("writers", GOOD, "nobody else writes", f"{len(p.seen.served)} symbols served, all sent from here")]
