"""``make screenshots``: the pictures of the README, taken from the pipeline running on the stand-ins.

The backend is given three hours of the stand-in's own past first (its values are functions of seed and time), so that
changes and charts are full at once; then a few moves of open interest are staged, and the pictures are taken when the
alerter has told of them. Needs Debian's chromium, and fonts-noto-cjk for the symbols with Chinese names; takes some
minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from dev import oi_picture as oi_top
from dev.exchange.market import steps
from dev.exchange.universe import Contract
from dev.exchange.venue import Settings, Venue
from dev.stage import PORTS, ROOT, Stage, call, until
from shared.clock import iso

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PICTURES = ROOT / "docs" / "img"
SEED = 7
LIQUID_USD = 4.4e6  # a little above the threshold: what has a past stays in the universe
PAST_S, STEP_S = 3 * 3600, 30
MOVES = {"SOLUSDT": 6.2, "DOGEUSDT": -4.4, "XRPUSDT": 3.6, "LINKUSDT": 9.0, "SUIUSDT": -3.3, "AVAXUSDT": 4.8}
ALERTS_WANTED = 4
WITHIN_S = 420.0


def past_batches(now_ms: int) -> Iterator[dict[str, Any]]:
    """What a pipeline that ran for three hours would have posted, oldest first."""
    where = steps(now_ms)
    everything = Venue(Settings(seed=SEED)).books.values()
    books = [b for b in everything if _covered(b.contract) and b.volume(where) >= LIQUID_USD]
    for at_ms in range(now_ms - PAST_S * 1000, now_ms - 1000, STEP_S * 1000):
        rows = []
        for book in books:
            contracts, mark = book.oi_at(at_ms), book.mark_at(at_ms)
            values = {"openInterest": contracts, "markPrice": mark, "openInterestUsd": contracts * mark}
            rows.append({"symbol": book.contract.symbol, **values})
        yield {"data": rows, "timestamp": iso(at_ms), "totalSymbols": len(rows), "source": "realtime"}


def _covered(contract: Contract) -> bool:
    return contract.trading and (contract.contract_type, contract.quote_asset) == ("PERPETUAL", "USDT")


@contextmanager
def pipeline() -> Iterator[Stage]:
    """The whole pipeline with a past; ``env`` of what is yielded has the addresses of Redis and of the page."""
    stage = Stage()
    try:
        stage.redis()
        stage.exchange(SEED)
        stage.venues("all", SEED)
        stage.backend(0, "merge")
        url, key = stage.env["BACKEND_URL"], stage.env["BACKEND_API_KEY"]
        for batch in past_batches(time.time_ns() // 1_000_000):
            call(f"{url}/api/market/open-interest/ingest", batch, key)
        for name in PORTS:
            stage.service(name)
        until("alerts", lambda: _staged(stage, url), WITHIN_S)
        yield stage
    finally:
        stage.stop()


def _staged(stage: Stage, url: str) -> bool:
    """Stages the moves once values are served; true when enough alerts came of them."""
    if not stage.env.get("MOVED") and call(f"{url}/control")["universe"]["symbols"]:
        stage.env["MOVED"] = "1"
        moves = [{"fault": "oi_move", "symbol": name, "percent": by, "over_s": 120} for name, by in MOVES.items()]
        call(f"{stage.env['BINANCE_REST_URL']}/control", moves)
    return bool(call(f"{url}/control")["alerts"] >= ALERTS_WANTED)


def page_pictures(browser: Browser, stage: Stage) -> None:
    """The page in both themes, one of them with a symbol opened, and on a phone."""
    for name, width, height in (("dark", 1360, 820), ("light", 1360, 820), ("phone", 390, 780)):
        scheme: Literal["dark", "light"] = "light" if name == "light" else "dark"
        size: ViewportSize = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # no tint of what changed
        page.goto(stage.env["BACKEND_URL"])
        page.wait_for_selector('#status[data-level="good"]', timeout=60_000)
        if name == "light":
            open_symbol(page, "SOLUSDT")
        page.screenshot(path=PICTURES / f"page-{name}.png")
        page.close()


def open_symbol(page: Page, symbol: str) -> None:
    page.locator(f'tr[data-symbol="{symbol}"] button').click()
    page.wait_for_selector("#drawer .chart path.oi", state="attached")


def oi_picture(browser: Browser, stage: Stage) -> None:
    now_ms = time.time_ns() // 1_000_000
    oi_top.take(browser, stage.env, oi_top.sweeps(past_batches(now_ms), now_ms), PICTURES / "oi-top.png")


# Each is given a browser and the running pipeline, and writes what it takes into PICTURES.
PICTURE_TAKERS: list[Callable[[Browser, Stage], None]] = [page_pictures, oi_picture]


def main() -> None:
    if not Path(CHROMIUM).exists():
        sys.exit(f"no browser at {CHROMIUM}: apt-get install chromium, or name one in CHROMIUM")
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    PICTURES.mkdir(parents=True, exist_ok=True)
    with pipeline() as stage, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for take in PICTURE_TAKERS:
            take(browser, stage)
        browser.close()
    for picture in sorted(PICTURES.glob("*.png")):
        if shutil.which("pngquant"):  # a third of the size, where it is installed
            subprocess.run(["pngquant", "--force", "--ext", ".png", "--quality", "80-98", str(picture)], check=False)
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
