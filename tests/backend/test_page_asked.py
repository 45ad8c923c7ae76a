"""What the page shows where others tell it: the past (columns, longer lines), and open interest at other venues."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.backend.browser import BTC, ETH, ago, needs_browser, status
from tests.backend.healthz import Services
from tests.backend.stand_in import Backend

pytestmark = needs_browser


def since(change: float) -> dict[str, Any]:
    return {"change": change, "priceChange": None, "ageSeconds": 60.0}


def told() -> dict[str, Any]:
    """In the shape that tests/funding_api/test_past.py holds the API to."""
    btc = {"symbol": "BTCUSDT", "5m": None, "4h": since(0.0123), "24h": since(-0.25), "7d": None}
    eth = {"symbol": "ETHUSDT", "5m": None, "4h": None, "24h": since(-0.25), "7d": None}
    return {"data": [btc, eth], "total": 2, "state": "ok"}


def past() -> dict[str, Any]:
    """A week in hours of the exchange, and the last hour in five minutes."""
    now_s = time.time()
    rows = [
        {"updatedAt": now_s - 3600 * n, "openInterest": 900.0 + n, "markPrice": 100.0, "source": "exchange"}
        for n in range(167, 1, -1)
    ]
    seen = [
        {"updatedAt": now_s - 300 * n, "openInterest": 880.0, "markPrice": 101.0, "source": "seen"}
        for n in range(11, 0, -1)
    ]
    return {"symbol": "BTCUSDT", "rows": rows + seen, "state": "ok"}


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


@pytest.fixture
def with_past(start_backend: Callable[..., Backend], services: Services) -> Backend:
    services.bodies["changes"] = told()
    services.bodies["history"] = past()
    return start_backend(PAST_FROM=services.origin)


@pytest.fixture
def with_venues(start_backend: Callable[..., Backend], services: Services) -> Backend:
    services.bodies["aggregate"] = aggregate()
    return start_backend(VENUES_FROM=f"{services.origin}/aggregate")


def test_columns_are_chosen_and_remembered(page: Page, with_past: Backend) -> None:
    with_past.ingest([BTC, ETH], ago(1))
    page.goto(with_past.url)
    expect(page.locator('tr[data-symbol="BTCUSDT"] td.d1440')).to_have_text("−25.00%")
    expect(page.locator('#changes b[data-key="d1440"]')).to_have_text("−25.00%")
    expect(page.locator('tr[data-symbol="BTCUSDT"] td.d10080')).to_have_text("–")
    expect(page.locator('thead [data-key="d240"]')).to_be_hidden()

    page.locator("#chooser summary").click()
    page.get_by_label("Δ 4 h").check()
    page.get_by_label("Δ 5 m").uncheck()
    page.reload()
    status(page, "Live")

    expect(page.locator('tr[data-symbol="BTCUSDT"] td.d240')).to_have_text("+1.23%")
    expect(page.locator('tr[data-symbol="BTCUSDT"] td.d240')).to_be_visible()
    expect(page.locator('thead [data-key="d5"]')).to_be_hidden()
    expect(page.locator('#changes [data-key="d5"]')).to_be_visible()
    expect(page.locator('#movers [data-key="d5"]')).to_be_visible()
    page.locator('th[data-key="d240"] button').click()
    assert page.locator('th[data-key="d240"]').get_attribute("aria-sort") == "descending"


def test_a_week_is_drawn_and_a_part_of_it_shown_larger(page: Page, with_past: Backend) -> None:
    with_past.ingest([BTC], ago(1))
    page.goto(with_past.url)
    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    page.locator('[data-range="7d"]').click()
    expect(page.locator("#drawer .span")).to_have_text("Last week")
    line = page.locator("#drawer .chart path.oi")
    expect(line).to_be_attached()
    whole = line.get_attribute("d") or ""
    assert whole.count("L") > 170, "hours of the exchange are one line"

    box = page.locator("#drawer .chart").bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    expect(page.locator("#drawer .reading")).to_contain_text("as the exchange tells it")
    page.mouse.up()
    part = line.get_attribute("d") or ""
    assert 10 < part.count("L") < 100

    page.mouse.dblclick(box["x"] + 150, box["y"] + 100)
    assert (line.get_attribute("d") or "").count("L") > 170
    page.locator("#drawer .chart").focus()
    page.keyboard.press("+")
    assert (line.get_attribute("d") or "").count("L") < 150


def test_the_keys_stay_in_the_part_that_is_shown(page: Page, with_past: Backend) -> None:
    """Arrows read points out that were not drawn, and + showed the newest part in place of a part of the part."""
    with_past.ingest([BTC], ago(1))
    page.goto(with_past.url)
    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    page.locator('[data-range="7d"]').click()
    chart, line, reading = (
        page.locator("#drawer .chart"),
        page.locator("#drawer .chart path.oi"),
        page.locator(".reading"),
    )
    expect(line).to_be_attached()
    chart.drag_to(chart, source_position={"x": 100, "y": 100}, target_position={"x": 200, "y": 100})
    part = (line.get_attribute("d") or "").count("L")
    assert 10 < part < 100

    chart.focus()
    page.keyboard.press("+")
    assert 4 < (line.get_attribute("d") or "").count("L") < part
    for key in ("ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
        expect(reading).to_contain_text("as the exchange tells it")
    for _ in range(part):
        page.keyboard.press("ArrowLeft")
    assert float(page.locator(".cross line").get_attribute("x1") or 0) >= 52


def test_who_lets_go_outside_the_chart_is_shown_the_part_and_keeps_the_drawer(page: Page, with_past: Backend) -> None:
    """Nothing came of it to the right, and below it the drawer closed: the click was then the drawer's own."""
    with_past.ingest([BTC], ago(1))
    page.goto(with_past.url)
    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    page.locator('[data-range="7d"]').click()
    chart, line = page.locator("#drawer .chart"), page.locator("#drawer .chart path.oi")
    expect(line).to_be_attached()
    box = chart.bounding_box()
    assert box
    for x, y in ((box["width"] + 5, 100), (300, 420)):
        chart.dblclick(position={"x": 100, "y": 100})
        assert (line.get_attribute("d") or "").count("L") > 170
        page.mouse.move(box["x"] + 200, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
        page.mouse.up()
        assert (line.get_attribute("d") or "").count("L") < 170, (x, y)

    page.mouse.click(box["x"] + 300, 790)
    expect(chart).to_be_visible()
    page.mouse.click(100, 400)
    expect(chart).to_be_hidden()


def test_where_nobody_keeps_the_past_there_are_dashes(page: Page, backend: Backend) -> None:
    backend.ingest([BTC], ago(1))
    page.goto(backend.url)
    status(page, "Live")
    expect(page.locator('tr[data-symbol="BTCUSDT"] td.d1440')).to_have_text("–")
    page.locator('tr[data-symbol="BTCUSDT"] button').click()
    page.locator('[data-range="24h"]').click()
    expect(page.locator("#drawer .chart")).to_contain_text("Two readings are needed for a line")


def test_the_menu_of_columns_is_left_by_escape_and_by_looking_elsewhere(page: Page, with_past: Backend) -> None:
    """It hangs over the columns that it is about."""
    with_past.ingest([BTC], ago(1))
    page.goto(with_past.url)
    menu, head = page.locator("#columns"), page.locator("#chooser summary")

    head.click()
    page.locator("#columns input").nth(1).check()
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(head).to_be_focused()

    head.click()
    expect(menu).to_be_visible()
    page.locator("#count").click()
    expect(menu).to_be_hidden()


def test_what_other_venues_have(page: Page, with_venues: Backend) -> None:
    with_venues.ingest([BTC, ETH], ago(1))
    page.goto(with_venues.url)

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


def test_what_is_no_longer_known_is_dimmed_in_both_sums(page: Page, with_venues: Backend) -> None:
    """The sum over venues has the other in it: it is no younger."""
    with_venues.ingest([BTC], ago(1))
    page.goto(with_venues.url)
    colour = "node => getComputedStyle(node).color"
    expect(page.locator("#total-all")).to_have_text("$10.66B")
    bright = page.locator("#total-all").evaluate(colour)

    with_venues.control(away=20)
    expect(page.locator("#status-text")).to_contain_text("Connection lost, values of ")

    dimmed = page.locator("#total").evaluate(colour)
    assert page.locator("#total-all").evaluate(colour) == dimmed != bright


def test_at_no_width_is_a_column_cut_off(page: Page, with_venues: Backend) -> None:
    """A figure of which the end is missing is another figure; a column that has no room is not there."""
    with_venues.ingest([BTC], ago(1))
    page.goto(with_venues.url)
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
