"""Every fault that `make chaos` runs, in the order it runs them. docs/reliability.md says what the columns mean.

One entry: name, what happens, how it is done, for how many seconds at least, who must say what; then the bounds that
differ from those of `Fault`.
"""

from __future__ import annotations

from tests.chaos import faults as f
from tests.chaos import worlds as w
from tests.chaos.faults import (
    Fault,
    answers,
    backend,
    both,
    exchange,
    kill,
    net,
    poller,
    publisher,
    redis_config,
    wedge,
    ws,
)
from tests.chaos.rig import Rig
from tests.proxies import TINYPROXY

MUTE = "no mark frame for .* retired address"
SILENT = r"no mark frame for [\d.]+ s"
SHORT = r"only \d+ of \d+ symbols ticked"
ENDED = "connection ended"
STALE = "stale_mark"
QUIET = "nothing may be sent until"
UNANSWERED = "timeout|no complete answer"
NO_REDIS = "waiting for Redis|Redis does not take writes"

POISON = {"nan": "BTCUSDT", "negative": "ETHUSDT", "zero": "SOLUSDT", "missing_p": "XRPUSDT", "ticker_event": "BNBUSDT"}
POISONED = exchange(*({"fault": "ws_rows", "kind": kind, "symbols": [symbol]} for kind, symbol in POISON.items()))
ACK_MUTE = exchange({"fault": "ws_ack_mute"}, {"fault": "ws_cut"})
CLOSE_1008 = exchange({"fault": "ws_close", "code": 1008, "reason": "Invalid request"})
NOTICE = exchange({"fault": "ws_shutdown_notice", "close_after_s": 5})
REFUSED = exchange({"fault": "ws_refuse", "status": 429}, {"fault": "ws_reset"})
MUTE_AND_BAN = both(exchange({"fault": "ws_mute"}), answers("418", retry_after=12, seconds=12))
BAN_AND_FLUSH = both(answers("418", retry_after=10, seconds=10), f.flush_when_banned)
WALL = {"kind": "status", "status": 403, "html": True, "mitigated": "challenge", "route": "read"}
MICROS = exchange(
    {"fault": "oi_time", "symbol": "BTCUSDT", "value": 1_791_382_984_119_000},
    {"fault": "oi_time", "symbol": "ETHUSDT", "value": 2**70},
)
NO_MARKS_NO_BACKEND = both(kill("ws_daemon"), net("backend", cut="up down"))


def stream(what: str, **more: object) -> f.Inject:
    return exchange({"fault": f"ws_{what}", **more})


# fmt: off
STREAM = [
    Fault("retired-address", "connected, never a frame", f.retired_address, 8, ws(MUTE)),
    Fault("ack-mute", "new subscriptions are acknowledged and get nothing", ACK_MUTE, 8, ws(MUTE)),
    Fault("half-mute", "half of the symbols are in no frame", stream("half_mute", share=0.5), 12, ws(SHORT), 20),
    Fault("one-muted", "one connection of two is mute", stream("mute", conn=0), 8, ws(SILENT), age_s=10),
    Fault("both-mute", "marks by REST", stream("mute"), 14, ws("no stream delivers"), age_s=16),
    Fault("tcp-stall", "no byte, no FIN", stream("stall"), 10, ws(SILENT)),
    Fault("tickers-silent", "no volumes, marks flow on", stream("tickers", share=0.0), 66, ws("no 24 h volumes"), 70,
          age_s=10),
    Fault("slow-drip", "200 bytes a second", stream("drip", bytes_per_s=200), 10, ws(SILENT)),
    Fault("close-1008", "closed with 1008", CLOSE_1008, 0, ws(f"{ENDED}.*1008"), age_s=10),
    Fault("rst", "both connections reset", stream("reset"), 0, ws(ENDED), age_s=10, fast=True),
    Fault("24h-cut", "the end of the exchange's 24 h", stream("cut"), 0, ws(f"{ENDED}.*1001"), age_s=10),
    Fault("shutdown-notice", "a close announced before", NOTICE, 6, ws("connection replaced", quiet=True), age_s=10),
    Fault("handshake-429", "handshakes are refused", REFUSED, 8, ws("refused with HTTP 429")),
    Fault("one-frame", "only the TradFi frame comes", stream("one_frame", keep="tradfi"), 12, ws(SHORT), 20),
    Fault("frame-3mib", "six valid frames of 3 MiB", stream("frames", kind="oversize", times=6), 5, (), age_s=10),
    Fault("truncated-json", "frames that break off", stream("frames", kind="truncated"), 8, ws("not_a_frame")),
    Fault("unknown-fields", "new fields in every row", stream("rows", kind="unknown_fields"), 5, (), age_s=10),
    Fault("poisoned-rows", ", ".join(POISON), POISONED, 6, ws("bad row dropped")),
    Fault("time-back", "event times 60 s back", stream("time_back", ms=60_000), 8, ws("not one mark .* behind"), 25),
    Fault("clock-ahead", "the exchange's clock is 90 s ahead", exchange({"fault": "clock_skew", "ms": 90_000}), 8,
          publisher(STALE), recover_s=30, skew_ms=90_000),
    Fault("clock-behind", "the exchange's clock is 90 s behind", exchange({"fault": "clock_skew", "ms": -90_000}), 8,
          publisher(STALE), recover_s=30, skew_ms=-90_000),
]

REST = [
    Fault("rest-429", "429, Retry-After 5", answers("429", retry_after=5, seconds=5), 5, poller(QUIET)),
    Fault("rest-418", "418, Retry-After 8", answers("418", retry_after=8, seconds=8), 8, poller(QUIET)),
    Fault("rest-418-text", "418, its end in the text", answers("418_text_only", retry_after=8, seconds=8), 8,
          poller(QUIET)),
    Fault("over-the-limit", "others use up the minute: banned", f.over_the_limit, 2, poller(QUIET), recover_s=75,
          before=f.late_in_the_minute),
    Fault("ban-restart", "pollers killed in the middle of a ban", f.banned_then_restarted, 11, poller(QUIET)),
    Fault("ban-while-mute", "a ban while every stream is mute", MUTE_AND_BAN, 12, poller(QUIET)),
    Fault("ban-flush", "Redis is emptied in the middle of a ban", BAN_AND_FLUSH, 8, poller(QUIET)),
    Fault("rest-403", "the firewall's HTML page", answers("403_html"), 5, poller("403"), recover_s=25),
    Fault("rest-451", "not served from this location", answers("451"), 5, poller("451"), recover_s=25),
    Fault("rest-maintenance", "-1016", answers("-1016"), 5, poller("maintenance"), recover_s=25),
    Fault("rest-503", "503 for every request", answers("503_unknown"), 6, poller("503|server_error")),
    Fault("rest-hang", "no answer at all", answers("hang"), 9, poller(UNANSWERED)),
    Fault("one-hangs", "one symbol's request hangs", answers("hang", "openInterest", symbols=["ETHUSDT"]), 5,
          poller("timeout.*ETHUSDT"), age_s=16),
    Fault("html-200", "200 with an HTML page", answers("html_200"), 4, poller("bad_reply|not_json")),
    Fault("error-200", "200 with an error body", answers("error_body_200"), 5, poller("symbols failed")),
    Fault("truncated-200", "200 with JSON that breaks off", answers("truncated_json"), 5, poller("symbols failed")),
    Fault("empty-listings", "exchangeInfo without symbols", answers("empty_symbols", "exchangeInfo"), 2,
          poller("none of 0 listed"), 140, age_s=10),
    Fault("delisted", "three symbols stop trading in mid-sweep", f.delisted_in_mid_sweep, 3, poller("not_trading"),
          recover_s=30),
    Fault("200-listed", "200 new symbols", exchange({"fault": "list", "count": 200}), 4,
          poller("universe changed.*entered=[1-9]", quiet=True), 20, recover_s=25),
]

PROCESSES = [  # the failover first: within a minute of another fault of Redis nothing would be said of it again
    # Who waits for sweeps hears of it at once; ws_daemon only where a frame meets it before a heartbeat does.
    Fault("redis-failover", "a replica takes over, the old primary lives on", Rig.fail_over, 12,
          publisher("waiting for Redis"), age_s=8),
    Fault("redis-killed", "kill -9, back after 5 s with nothing", kill("redis"), 5, ws(NO_REDIS)),
    Fault("redis-flushed", "FLUSHALL", f.flush, 0, (*ws("Redis lost what it held"), *publisher("waiting for"))),
    Fault("redis-stopped", "SIGSTOP for 20 s", wedge("redis"), 20, ws(NO_REDIS)),
    Fault("redis-full", "maxmemory reached", redis_config(maxmemory=1), 8, ws(NO_REDIS)),
    Fault("redis-readonly", "writes refused", redis_config(min_replicas_to_write=1), 8, ws(NO_REDIS)),
    Fault("ws_daemon-killed", "kill -9, back after 8 s", kill("ws_daemon"), 8, publisher(STALE)),
    Fault("oi_poller-killed", "kill -9, back after 10 s", kill("oi_poller"), 10, publisher("no sweep|stalled"), 16),
    Fault("publisher-killed", "kill -9, back after 3 s", kill("publisher"), 3, publisher("down"), fast=True),
    Fault("backend-killed", "kill -9, back after 5 s with nothing", kill("backend"), 5, publisher("backend")),
    Fault("ws_daemon-wedged", "SIGSTOP", wedge("ws_daemon"), 9, publisher(STALE)),
    Fault("oi_poller-wedged", "SIGSTOP", wedge("oi_poller"), 10, publisher("no sweep|stalled"), 16),
    Fault("publisher-wedged", "SIGSTOP", wedge("publisher"), 6, publisher("down")),
    Fault("two-at-once", "ws_daemon dead, the backend cut off", NO_MARKS_NO_BACKEND, 14, publisher(f"{STALE}|backend")),
]

NETWORK = [
    Fault("exchange-refused", "nobody listens", net("ws", "rest", refuse=True), 6, ws(ENDED), recover_s=25),
    *([Fault("proxy-killed", "BINANCE_PROXY, and it dies", f.proxy_killed, 8, ws("through 127.0.0.1"), recover_s=30)]
      if TINYPROXY else []),
    Fault("exchange-cut", "both ways", net("ws", "rest", cut="up down"), 10, ws(SILENT), recover_s=25),
    Fault("exchange-cut-up", "requests are lost", net("ws", "rest", cut="up"), 9, poller(UNANSWERED)),
    Fault("exchange-cut-down", "answers are lost", net("ws", "rest", cut="down"), 10, ws(SILENT), recover_s=25),
    Fault("exchange-rst", "every connection reset", net("ws", "rest", reset=True), 0, ws(ENDED), age_s=10),
    Fault("exchange-slow", "300 ms each way", net("ws", "rest", latency_s=0.3), 6, (), age_s=20),
    Fault("backend-refused", "nobody listens", net("backend", refuse=True), 5, publisher("backend is away")),
    Fault("backend-cut", "both ways", net("backend", cut="up down"), 7, publisher("backend")),
    Fault("backend-cut-up", "requests are lost", net("backend", cut="up"), 7, publisher("backend")),
    Fault("backend-cut-down", "taken, the answer lost", net("backend", cut="down"), 7, publisher("backend")),
    Fault("backend-rst", "every connection reset", net("backend", reset=True), 0, (), age_s=10),
    Fault("redis-refused", "nobody listens", net("redis", refuse=True), 5, ws(NO_REDIS)),
    Fault("redis-cut", "both ways", net("redis", cut="up down"), 7, ws(NO_REDIS)),
    Fault("redis-cut-up", "commands are lost", net("redis", cut="up"), 7, ws(NO_REDIS)),
    Fault("redis-cut-down", "obeyed, the answer lost", net("redis", cut="down"), 7, ws(NO_REDIS)),
    Fault("redis-rst", "every connection reset, idle or not", net("redis", reset=True), 0, (), age_s=10),
]

BACKEND = [
    Fault("slow-database", "7 ms a row: a POST takes longer than sweeps are apart", backend(rowDelayMs=7), 14,
          publisher("sweeps thinned"), 25, age_s=16),
    Fault("refusing-database", "200, and no row is stored", backend(databaseDown=True), 8,
          publisher("served, not stored"), judged=False),
    Fault("cached-read", "a cache of 5 s before the public GET", w.cached, 14, publisher("comes from a cache"),
          recover_s=25, holds=w.nothing_repeated),
    Fault("universe-writer", "another program writes the universe", w.universe_overwritten, 1,
          publisher("universe FOREIGN"), 40, holds=w.universe_is_ours),
    Fault("bot-wall", "the public GET meets a page of HTML", backend(fault=WALL), 6, publisher("bot wall")),
    Fault("unpaid", "402 for every POST", backend(fault={"kind": "status", "status": 402}), 8, publisher("402")),
]

WORLDS = [
    Fault("empty-start", "an empty Redis, every service new, volumes that trickle in", w.start_from_nothing, 1, (),
          recover_s=30, holds=w.no_part_was_posted),
    Fault("all-called-gone", "-1121 for every symbol", w.all_called_gone, 10, poller("not believed"),
          recover_s=25, holds=w.universe_kept),
    Fault("micros", "a time of open interest in microseconds, one beyond 64 bits", MICROS, 6, poller("BTCUSDT"),
          recover_s=25),
    Fault("redis-set-back", "back with what it held three sweeps ago", w.set_back, 1, (), age_s=10),
    Fault("limited-user", "a Redis user without administration", w.limited_user, 1, (), recover_s=30),
    *([Fault("redis-6.2", "an older server, empty", w.old_redis, 1, (), recover_s=30)]
      if w.HAS_OLD_REDIS else []),
]
# fmt: on

CATALOGUE = {fault.name: fault for fault in (*STREAM, *REST, *PROCESSES, *NETWORK, *BACKEND, *WORLDS)}
