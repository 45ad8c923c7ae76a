"""``make incident``: the incident this pipeline exists to make impossible, replayed in under a minute.

First the old behaviour: chunks of 100 into a backend that replaces its cache with each. Every answer says success, and
the last chunk is all that is served. Then the publisher, told the same chunk size, finds, names and heals it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from redis import Redis

from dev.stage import ROOT, Stage, call, until
from shared.clock import iso
from shared.codec import decode_mark, decode_sweep
from shared.model import notional
from shared.store import MARKS, SWEEPS
from shared.sweeplog import FIELD

OPEN_INTEREST = "/api/market/open-interest"
CHUNK = 100
WITHIN_S = 40.0
SYMBOLS = 343  # as on the day: 343 mod 100 = 43


def served(stage: Stage) -> dict[str, float]:
    data: dict[str, float] = call(stage.env["BACKEND_URL"] + OPEN_INTEREST)["data"]
    return data


def threshold(stage: Stage) -> str:
    """The 24 h quote volume that exactly `SYMBOLS` contracts of the stand-in pass; those near it are moved away."""
    origin = stage.env["BINANCE_REST_URL"]
    volumes = {row["symbol"]: float(row["quoteVolume"]) for row in call(f"{origin}/fapi/v1/ticker/24hr")}
    wanted = ("PERPETUAL", "TRADING", "USDT")
    listed = call(f"{origin}/fapi/v1/exchangeInfo")["symbols"]
    fit = [c["symbol"] for c in listed if (c["contractType"], c["status"], c["quoteAsset"]) == wanted]
    ranked = sorted(fit, key=volumes.__getitem__, reverse=True)
    limit = volumes[ranked[SYMBOLS]]
    near = {ranked[n]: limit * (2 if n < SYMBOLS else 0.5) for n in range(SYMBOLS - 20, SYMBOLS + 20)}
    call(f"{origin}/control", [{"fault": "volume_value", "symbol": symbol, "usd": usd} for symbol, usd in near.items()])
    return f"{limit:.0f}"


def whole_sweep(redis: Redis) -> list[dict[str, Any]] | None:
    """What the old poller posted: open interest times mark, in no order that cares for size; None while some lack."""
    newest = redis.xrevrange(SWEEPS, count=1)
    if not newest:
        return None
    sweep = decode_sweep(newest[0][1][FIELD])
    marks = {name.decode(): decode_mark(name.decode(), blob) for name, blob in redis.hgetall(MARKS.key).items()}
    rows = [
        {
            "symbol": symbol,
            "openInterest": float(reading.open_interest.open_interest),
            "openInterestUsd": float(notional(reading.open_interest.open_interest, marks[symbol].mark_price)),
            "markPrice": float(marks[symbol].mark_price),
        }
        for symbol, reading in sweep.readings.items()
        if symbol in marks
    ]
    return rows if len(rows) == SYMBOLS else None


def old_behaviour(stage: Stage, rows: list[dict[str, Any]]) -> None:
    print(f"\nthe old way: {len(rows)} symbols in chunks of {CHUNK}, into a backend that replaces its cache\n")
    inserted = 0
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        body = {"data": chunk, "timestamp": iso(time.time_ns() // 1_000_000), "totalSymbols": len(rows)}
        url, key = stage.env["BACKEND_URL"] + OPEN_INTEREST + "/ingest", stage.env["BACKEND_API_KEY"]
        answer = call(url, {**body, "source": "realtime"}, key)
        inserted += answer["inserted"]
        print(f"  POST {len(chunk):>3} rows -> 200 {json.dumps(answer)}")
    print(f"\n  every log line: {inserted}/{len(rows)} inserted")
    now = served(stage)
    print(f"  served:         {len(now)} of {len(rows)}")
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        print(f"  {symbol}:        ${now.get(symbol, 0.0):,.2f}{'' if symbol in now else '   (not served)'}")


def heal(stage: Stage) -> None:
    print(f"\nthe publisher, told the same chunk size (BACKEND_MAX_ROWS={CHUNK}):\n")
    stage.service("publisher", BACKEND_MAX_ROWS=str(CHUNK))
    log = stage.children[-1].log.open(errors="replace")

    def verified() -> bool:
        done = False
        for line in log:
            print(f"  {line.rstrip()}", flush=True)
            done = done or "verdict=VERIFIED" in line
        return done

    until("a verified cycle", verified, WITHIN_S)
    now = served(stage)
    print(f"\n  served: {len(now)}; BTCUSDT ${now['BTCUSDT']:,.0f}\n")


def main() -> None:
    os.chdir(ROOT)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    stage = Stage()
    start_s = time.monotonic()
    try:
        stage.redis()
        stage.exchange(seed=1)
        stage.backend(8787, "replace")
        enter = threshold(stage)
        stage.service("ws_daemon")
        stage.service("oi_poller", OI_LIQUID_ENTER_QUOTE_24H=enter, OI_LIQUID_EXIT_QUOTE_24H="0")
        redis = Redis.from_url(stage.env["REDIS_URL"])
        old_behaviour(stage, until(f"a sweep of {SYMBOLS} symbols with marks", lambda: whole_sweep(redis), WITHIN_S))
        heal(stage)
        print(f"replayed in {time.monotonic() - start_s:.0f} s")
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        stage.stop()


if __name__ == "__main__":
    main()
