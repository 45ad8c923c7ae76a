"""``oi doctor``: from the outside in, what is wrong and what mends it. Safe beside production.

It asks the exchange for its clock (weight 1, never during a ban), listens to one stream for a few seconds, and sends
the backend an empty object, which is no batch, to learn whether it takes the key. A check that cannot be made says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from redis.asyncio import Redis
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from cli import outside
from cli.settings import Told
from cli.show import DEGRADED, DOT, DOWN, EXIT, GOOD, STYLE, UNKNOWN, age
from cli.state import Snapshot
from cli.status import UNITS, names, silent
from shared import exchange as venue
from shared import http
from shared.ban import Ban
from shared.clock import SystemClock, iso
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.reply import Reply
from shared.store import redis_faults

STREAM = "/market/stream?streams=!markPrice@arr@1s"
LISTEN_S = 5.0
CLOCK_OFF_S, CLOCK_WRONG_S = 1.0, 10.0  # beyond the second the publisher disbelieves stamps
LIMIT = 2400  # documented: request weight a minute and address
LEARNT_MS = 3_600_000
ORDER = (DOWN, DEGRADED, UNKNOWN, GOOD)


class Finding(msgspec.Struct, frozen=True):
    """``fix`` is empty where nothing is to be done."""

    check: str
    state: str
    what: str
    evidence: str = ""
    fix: str = ""


@dataclass
class Patient:
    """What the checks work with. ``seen`` is None while Redis cannot be read, for the reason in ``why``."""

    told: Told
    redis: Redis
    client: httpx.AsyncClient
    seen: Snapshot | None
    why: str
    probe: bool
    values: dict[str, float] = field(default_factory=dict)  # what the backend serves, once it was asked


Check = Callable[[Patient], Awaitable[list[Finding]]]


async def examine(patient: Patient) -> list[Finding]:
    """All checks, the stream beside the others; the heaviest finding first."""
    listening = asyncio.create_task(_stream(patient))
    found: list[Finding] = []
    for check in (_settings, _redis, _services, _rest, _backend, _key, _sizes, _cache, _writers):
        found += await check(patient)
    found += await listening
    return sorted(found, key=lambda finding: ORDER.index(finding.state))


def exit_status(findings: list[Finding]) -> int:
    """A check that could not be made spoils nothing by itself."""
    return max((EXIT[finding.state] for finding in findings if finding.state != UNKNOWN), default=EXIT[UNKNOWN])


def lines(finding: Finding) -> Iterator[RenderableType]:
    head = Text(f"{DOT[finding.state]} {finding.check:<9}", STYLE[finding.state])
    yield Text.assemble(head, finding.what, (f"  ({finding.evidence})" if finding.evidence else "", "dim"))
    if finding.fix:
        yield Padding(Text(f"fix  {finding.fix}"), (0, 0, 0, 11))


async def _settings(p: Patient) -> list[Finding]:
    found = [Finding("settings", GOOD, "settings can be read", p.told.source)]
    for name, close in p.told.strangers.items():
        hint = f"rename it to {close}" if close else "remove it"
        found.append(Finding("settings", DEGRADED, f"{name} is no setting: nobody reads it", p.told.source, hint))
    return found


async def _redis(p: Patient) -> list[Finding]:
    where = p.told.settings.redis_shown
    if p.seen is None:
        fix = "start Redis, or correct REDIS_URL; the services go on by themselves once it answers"
        return [Finding("redis", DOWN, "Redis cannot be read", f"{where}: {p.why}", fix)]
    async with redis_faults():
        info: dict[str, Any] = await p.redis.info()
    said = f"{where}, version {info.get('redis_version')}, {info.get('used_memory_human')} in use"
    found = [Finding("redis", GOOD, "Redis answers", said)]
    if int(str(info.get("redis_version", "0")).partition(".")[0]) < 7:
        found.append(Finding("redis", DOWN, "Redis is older than 7", said, "upgrade it: stream groups need 7"))
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        fix = "CONFIG SET maxmemory-policy noeviction, and in redis.conf"
        found.append(Finding("redis", DEGRADED, "Redis may throw away what the services rely on", str(policy), fix))
    if not info.get("aof_enabled") and not await _saves(p.redis):
        what = "Redis keeps nothing on disk: the outbox and a ban are lost with it"
        found.append(Finding("redis", DEGRADED, what, "appendonly no, no save points", "appendonly yes in redis.conf"))
    if p.seen.unreadable:
        what = f"{p.seen.unreadable} rows in Redis cannot be read"
        found.append(Finding("redis", DEGRADED, what, fix="another version or hand wrote them; they are overwritten"))
    return found


async def _saves(redis: Redis) -> bool:
    """Whether there are save points; True where the server does not say."""
    try:
        async with redis_faults():
            return bool((await redis.config_get("save")).get("save", "?"))
    except Transient:
        return True


async def _services(p: Patient) -> list[Finding]:
    if p.seen is None:
        return []
    found = []
    for service, unit in UNITS.items():
        beat = p.seen.beats.get(service)
        if beat is None:
            state = DOWN if service in {"ws_daemon", "oi_poller", "publisher"} else DEGRADED
            found.append(
                Finding(service, state, silent(service), fix=f"systemctl restart {unit}; journalctl -u {unit}")
            )
        elif beat.get("state") != "ok":
            fix = f"docs/runbook.md; journalctl -u {unit} -p warning"
            found.append(Finding(service, DEGRADED, beat.get("detail", ""), f"since {beat.get('since', '?')}", fix))
    return found or [Finding("services", GOOD, f"all {len(UNITS)} services do their job")]


async def _stream(p: Patient) -> list[Finding]:
    """Trust data alone: an address that is retired connects and acknowledges as well."""
    address = p.told.settings.ws_url + STREAM
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(LISTEN_S), connect(address, ping_interval=None, max_size=1 << 24, proxy=None) as ws:
            while b"markPriceUpdate" not in (frame := await ws.recv(decode=False)):
                pass
    except TimeoutError:
        what = f"the stream sends no mark price within {LISTEN_S:g} s, though it may connect and acknowledge"
        return [Finding("stream", DOWN, what, address, "check BINANCE_WS_URL; see docs/runbook.md about mute streams")]
    except InvalidStatus as e:
        said = f"HTTP {e.response.status_code} from {address}"
        return [Finding("stream", DOWN, "the stream refuses the connection", said, "wait; too many were opened?")]
    except (OSError, WebSocketException) as e:
        return [
            Finding("stream", DOWN, "the stream cannot be reached", f"{type(e).__name__}: {e}", "check the network")
        ]
    said = f"{frame.count(b'markPriceUpdate')} rows after {time.monotonic() - begun_s:.1f} s from {address}"
    return [Finding("stream", GOOD, "the stream delivers mark prices on the routed address", said)]


async def _rest(p: Patient) -> list[Finding]:
    """One request of weight 1; a ban it meets is told to the services, as they tell each other."""
    if p.seen is None:
        return [Finding("rest", UNKNOWN, "nothing is sent to the exchange: whether a ban is in force cannot be read")]
    if p.seen.ban_ms:
        left = age((p.seen.ban_ms - p.seen.now_ms) / 1000)
        fix = "wait; send nothing from this address, and do not delete oi:ban: requests make it longer"
        return [Finding("ban", DOWN, f"banned, or asked to wait, for {left} more", f"until {iso(p.seen.ban_ms)}", fix)]
    heard: list[Reply] = []
    clock = SystemClock()
    sent_ms = clock.now_ms()
    exchange = venue.Exchange(p.told.settings.rest_url, http.getting(p.client), Ban(p.redis), clock, timeout_s=5.0)
    try:
        body = await exchange.get("/fapi/v1/time", on_reply=heard.append)
        theirs = int(msgspec.json.decode(body)["serverTime"])
    except (Transient, Refused, Rejected, WireError, ValueError, KeyError, TypeError) as e:
        fix = "wait; nothing is sent meanwhile" if isinstance(e, RateLimited) else "docs/runbook.md"
        return [Finding("rest", DOWN, "the exchange's REST API does not answer as it should", str(e)[:200], fix)]
    now_ms = clock.now_ms()
    off_s = (theirs - (sent_ms + now_ms) / 2) / 1000
    return [
        Finding("rest", GOOD, "the exchange's REST API answers", f"{p.told.settings.rest_url}, {now_ms - sent_ms} ms"),
        _clock(off_s),
        _weight(venue.used_weight(heard[0])),
    ]


def _clock(off_s: float) -> Finding:
    said = f"the exchange's clock is {off_s:+.2f} s from ours"
    if abs(off_s) <= CLOCK_OFF_S:
        return Finding("clock", GOOD, "this machine's clock is right", said)
    state = DOWN if abs(off_s) > CLOCK_WRONG_S else DEGRADED
    return Finding("clock", state, "the clocks differ: ages and freshness are wrong", said, "systemctl restart chrony")


def _weight(used: int | None) -> Finding:
    if used is None:
        return Finding("weight", UNKNOWN, "the exchange did not say how much request weight is used")
    said = f"{used} of {LIMIT} used in this minute, by everything on this address"
    if used > 0.9 * LIMIT:
        fix = "lower OI_MAX_REQ_PER_MIN, or find what else polls from this address"
        return Finding("weight", DEGRADED, "the address's request weight is nearly used up", said, fix)
    return Finding("weight", GOOD, "there is request weight left", said)


async def _backend(p: Patient) -> list[Finding]:
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


async def _key(p: Patient) -> list[Finding]:
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


async def _sizes(p: Patient) -> list[Finding]:
    if p.seen is None:
        return []
    learnt = p.seen.learnt
    if learnt.max_rows and p.seen.now_ms - learnt.max_rows_ms < LEARNT_MS:
        fix = "raise the body limit of the backend or of the proxy before it (nginx: client_max_body_size)"
        said = f"413 at {iso(learnt.max_rows_ms)}; since then at most {learnt.max_rows} rows a POST"
        return [Finding("size", DEGRADED, "the backend takes small batches only", said, fix)]
    return [Finding("size", GOOD, "no batch was too large for the backend", "no 413 within an hour")]


async def _cache(p: Patient) -> list[Finding]:
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


async def _writers(p: Patient) -> list[Finding]:
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
