"""The picture of ``oi top``: its own screen of the running pipeline, drawn by Rich as SVG and taken by the browser.

The pipeline has run for minutes only; the hour before is the stand-in's own past, as on the page's pictures.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser
from rich.console import Console

from cli.history import KEPT_MS, MINUTE_MS
from cli.settings import find
from cli.table import Screen, View
from cli.top import Latest
from shared import store
from shared.clock import from_iso
from shared.model import OpenInterest, Reading, Sweep

WIDTH, HEIGHT = 120, 20


def sweeps(batches: Iterable[dict[str, Any]], now_ms: int) -> Iterable[Sweep]:
    """Batches of the past as the sweeps they would have been, one a minute of the last hour."""
    for batch in batches:
        at_ms = from_iso(batch["timestamp"])
        if now_ms - at_ms < KEPT_MS and at_ms // MINUTE_MS != (at_ms - 30_000) // MINUTE_MS:
            rows = {
                row["symbol"]: Reading(
                    OpenInterest(row["symbol"], Decimal(str(row["openInterest"])), at_ms, at_ms), None
                )
                for row in batch["data"]
            }
            yield Sweep(str(at_ms), at_ms - 1000, at_ms, rows, {})


async def screen(env: dict[str, str], past: Iterable[Sweep]) -> Screen:
    given = find(env)
    redis = store.connect(given.settings.redis_url)
    try:
        latest = Latest(redis, given)
        latest.history.add(past)
        await latest.look(WIDTH)
    finally:
        await redis.aclose()
    return Screen(latest.rows, View(), latest.status, latest.note)


def take(browser: Browser, env: dict[str, str], past: Iterable[Sweep], path: Path) -> None:
    console = Console(width=WIDTH, height=HEIGHT, record=True, file=io.StringIO(), force_terminal=True)
    with ThreadPoolExecutor(1) as aside:  # the browser's driver has an event loop of its own in this thread
        console.print(aside.submit(asyncio.run, screen(env, past)).result())
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    page.route("**/*", lambda route: route.abort())  # Rich names fonts on another host; the browser's own will do
    page.set_content(f"<body style='margin:0;width:1360px'>{console.export_svg(title='oi top')}</body>")
    page.locator("svg").screenshot(path=path)
    page.close()
