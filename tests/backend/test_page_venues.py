"""Other venues on the page: a column, the header's second figure and the drawer's bars; nothing where none is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.backend.browser import BTC, ETH, ago, needs_browser, status
from tests.backend.healthz import Services
from tests.backend.stand_in import Backend

pytestmark = needs_browser


def contract(venue: str, symbol: str, usd: float, why: str | None = None) -> dict[str, Any]:
    told = {"venue": venue, "symbol": symbol, "openInterestUsd": usd, "sides": "unknown" if why else "one"}
    return {**told, "updatedAt": time.time() - 2, "whyNotSummed": why}


def aggregate() -> dict[str, Any]:
    """In the shape that tests/funding_api/test_venues.py holds the API to."""
    members = [contract("binance", "BTCUSDT", 7.5e9), contract("gate", "BTC_USDT", 3e9)]
    shown = [contract("bitget", "BTCUSDT", 2e9, "unknown_sides")]
    btc = {"coin": "BTC", "openInterestUsd": 10.5e9, "members": members, "shown": shown, "leftOut": []}
    away = {"venue": "okx", "trouble": "asked again at 12:10: 403"}
    return {"state": "ok", "at": time.time(), "venues": [away], "data": [btc]}


def test_what_other_venues_have(page: Page, start_backend: Callable[..., Backend], services: Services) -> None:
    services.bodies["aggregate"] = aggregate()
    backend = start_backend(VENUES_FROM=f"{services.origin}/aggregate")
    backend.ingest([BTC, ETH], ago(1))
    page.goto(backend.url)

    expect(page.locator('tr[data-symbol="BTCUSDT"] td.all')).to_have_text("$10.50B")
    expect(page.locator('tr[data-symbol="ETHUSDT"] td.all')).to_have_text("–")
    expect(page.locator("#total-label")).to_have_text("Open interest, Binance")
    expect(page.locator("#total-all")).to_have_text("$16.69B")  # 13.69 of Binance, 3 of Gate
    expect(page.locator("#total-all-note")).to_have_text("without OKX")
    page.locator('tr[data-symbol="BTCUSDT"] td.all').hover()
    title = page.locator('tr[data-symbol="BTCUSDT"] td.all').get_attribute("title") or ""
    assert [line.split(":")[0] for line in title.splitlines()] == ["Binance BTCUSDT", "Gate BTC_USDT", "Bitget BTCUSDT"]

    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    bars = page.locator("#drawer .venues li")
    expect(bars).to_have_count(3)
    assert bars.nth(2).evaluate("li => li.className") == "out"
    expect(bars.nth(2)).to_contain_text("sides unknown")


def test_without_them_nothing_speaks_of_venues(page: Page, backend: Backend) -> None:
    backend.ingest([BTC], ago(1))
    page.goto(backend.url)
    status(page, "Live")

    expect(page.locator('thead [data-key="all"]')).to_be_hidden()
    expect(page.locator("#everywhere")).to_be_hidden()
    expect(page.locator("#total-label")).to_have_text("Total open interest")
    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    expect(page.locator("#drawer .venues")).to_be_hidden()


def test_what_is_no_longer_known_is_dimmed_in_both_sums(
    page: Page, start_backend: Callable[..., Backend], services: Services
) -> None:
    """The sum over venues has the other in it: it is no younger."""
    services.bodies["aggregate"] = aggregate()
    backend = start_backend(VENUES_FROM=f"{services.origin}/aggregate")
    backend.ingest([BTC], ago(1))
    page.goto(backend.url)
    colour = "node => getComputedStyle(node).color"
    expect(page.locator("#total-all")).to_have_text("$10.66B")
    bright = page.locator("#total-all").evaluate(colour)

    backend.control(away=20)
    expect(page.locator("#status-text")).to_contain_text("Connection lost, values of ")

    dimmed = page.locator("#total").evaluate(colour)
    assert page.locator("#total-all").evaluate(colour) == dimmed != bright


def test_at_no_width_is_a_column_cut_off(page: Page, start_backend: Callable[..., Backend], services: Services) -> None:
    """A figure of which the end is missing is another figure; a column that has no room is not there."""
    services.bodies["aggregate"] = aggregate()
    backend = start_backend(VENUES_FROM=f"{services.origin}/aggregate")
    backend.ingest([BTC], ago(1))
    page.goto(backend.url)
    expect(page.locator('tr[data-symbol="BTCUSDT"] td.all')).to_have_text("$10.50B")

    for chosen in (3, 6):
        for width in (360, 620, 720, 740, 820, 900, 1000, 1100, 1200, 1280, 1360, 1700):
            page.set_viewport_size({"width": width, "height": 740})
            cut = page.locator('tr[data-symbol="BTCUSDT"]').evaluate("row => row.scrollWidth - row.clientWidth")
            assert cut == 0, f"{chosen} changes at {width} px"
        page.set_viewport_size({"width": 1360, "height": 740})
        page.locator("#chooser summary").click()
        for box in page.locator("#columns input").all():
            box.check()
