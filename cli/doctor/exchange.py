"""Checks of the exchange: the stream by its data, REST by its clock (weight 1, never during a ban)."""

from __future__ import annotations

import asyncio
import time

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cli.doctor.finding import Finding, Patient
from cli.hops import budget
from cli.show import DEGRADED, DOWN, GOOD, UNKNOWN
from shared import http
from shared.ban import Ban
from shared.clock import SystemClock
from shared.errors import RateLimited, Refused, Rejected, Transient, WireError
from shared.numbers import whole
from shared.reply import Reply
from shared.venues.binance.answers import used_weight
from shared.venues.binance.rest import LIMIT, TIME, Exchange
from shared.venues.binance.stream import CANNOT_OPEN, open_stream

STREAM = "/market/stream?streams=!markPrice@arr@1s"
LISTEN_S = 5.0
CLOCK_OFF_S, CLOCK_WRONG_S = 1.0, 10.0  # beyond the second the publisher disbelieves stamps


async def stream(p: Patient) -> list[Finding]:
    """Trust data alone: an address that is retired connects and acknowledges as well."""
    told = p.given.settings
    address = told.ws_url + STREAM + _through(p)
    begun_s = time.monotonic()
    try:
        async with (
            asyncio.timeout(LISTEN_S),
            await open_stream(told.ws_url, STREAM, told.proxy) as ws,
        ):
            while b"markPriceUpdate" not in (frame := await ws.recv(decode=False)):
                pass
    except TimeoutError:
        what = f"the stream sends no mark price within {LISTEN_S:g} s, though it may connect and acknowledge"
        return [Finding("stream", DOWN, what, address, "check BINANCE_WS_URL; see docs/runbook.md about mute streams")]
    except InvalidStatus as e:
        said = f"HTTP {e.response.status_code} from {address}"
        return [Finding("stream", DOWN, "the stream refuses the connection", said, "wait; too many were opened?")]
    except (*CANNOT_OPEN, ConnectionClosed) as e:
        return [
            Finding("stream", DOWN, "the stream cannot be reached", f"{type(e).__name__}: {e}", "check the network")
        ]
    said = f"{frame.count(b'markPriceUpdate')} rows after {time.monotonic() - begun_s:.1f} s from {address}"
    return [Finding("stream", GOOD, "the stream delivers mark prices on the routed address", said)]


async def rest(p: Patient) -> list[Finding]:
    """One request of weight 1; a ban it meets is told to the services, as they tell each other."""
    if p.why:
        return [Finding("rest", UNKNOWN, "nothing is sent to the exchange: whether a ban is in force cannot be read")]
    if p.seen.ban_ms:
        fix = "wait; send nothing from this address, and do not delete oi:ban: requests make it longer"
        return [Finding("ban", DOWN, budget(p.seen, p.given.settings).cause, fix=fix)]
    heard: list[Reply] = []
    clock, told = SystemClock(), p.given.settings
    sent_ms = clock.now_ms()
    try:
        async with http.client(connections=1, proxy=told.proxy) as client:
            ban = Ban(p.redis, clock, told.egress)
            exchange = Exchange(told.rest_url, http.getting(client), ban, clock, timeout_s=5.0)
            body = await exchange.get(TIME, on_reply=heard.append)
        theirs = int(msgspec.json.decode(body)["serverTime"])
    except (Transient, Refused, Rejected, WireError, ValueError, KeyError, TypeError) as e:
        fix = "wait; nothing is sent meanwhile" if isinstance(e, RateLimited) else "docs/runbook.md"
        return [Finding("rest", DOWN, "the exchange's REST API does not answer as it should", str(e)[:200], fix)]
    now_ms = clock.now_ms()
    off_s = (theirs - (sent_ms + now_ms) / 2) / 1000
    said = f"{told.rest_url}, {now_ms - sent_ms} ms{_through(p)}"
    return [
        Finding("rest", GOOD, "the exchange's REST API answers", said),
        _clock(off_s),
        _weight(used_weight(heard[0]), whole(p.seen.beats.get("oi_poller", {}).get("others_weight"))),
    ]


def _through(p: Patient) -> str:
    return f", through BINANCE_PROXY {p.given.settings.proxy.where}" if p.given.settings.proxy else ""


def _clock(off_s: float) -> Finding:
    said = f"the exchange's clock is {off_s:+.2f} s from ours"
    if abs(off_s) <= CLOCK_OFF_S:
        return Finding("clock", GOOD, "this machine's clock is right", said)
    state = DOWN if abs(off_s) > CLOCK_WRONG_S else DEGRADED
    return Finding("clock", state, "the clocks differ: ages and freshness are wrong", said, "systemctl restart chrony")


def _weight(used: int | None, others: int | None) -> Finding:
    """``others``: what oi_poller saw others send; alone on its address it uses the limit up itself."""
    if used is None:
        return Finding("weight", UNKNOWN, "the exchange did not say how much request weight is used")
    said = f"{used} of {LIMIT} used in this minute, by everything on this address"
    if used > 0.9 * LIMIT and others != 0:
        fix = "lower OI_MAX_REQ_PER_MIN, or find what else polls from this address"
        return Finding("weight", DEGRADED, "the address's request weight is nearly used up", said, fix)
    return Finding("weight", GOOD, "there is request weight left", said)
