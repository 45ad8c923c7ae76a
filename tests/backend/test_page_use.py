"""The page in use: by keyboard, on a phone, in both themes, by those who do not see it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.backend.browser import BTC, ETH, PEPE, ago, needs_browser, status, symbols
from tests.backend.healthz import Services, report
from tests.backend.stand_in import ALERTS, Backend, alert, row

pytestmark = [needs_browser, pytest.mark.long]


def test_every_column_sorts_both_ways_from_the_keyboard(page: Page, backend: Backend) -> None:
    backend.ingest([row("AUSDT", 1.0, 9.0, fundingRate=0.1), row("BUSDT", 2.0, 2.0, fundingRate=0.3)], ago(9))
    backend.ingest([row("CUSDT", 3.0, 1.0, fundingRate=0.2)], ago(1))
    backend.universe("AUSDT")
    page.goto(backend.url)
    status(page, "2 symbols no longer liquid")
    expected = {
        "symbol": ("ascending", "ABC", "CBA"),
        "contracts": ("descending", "CBA", "ABC"),
        "mark": ("descending", "ABC", "CBA"),
        "funding": ("descending", "BCA", "ACB"),
        "volume": ("descending", "ABC", "ABC"),  # B and C have none: last both ways
        "age": ("ascending", "CAB", "ABC"),
    }
    assert page.locator('th[data-key="usd"]').get_attribute("aria-sort") == "descending"
    assert symbols(page) == ["AUSDT", "BUSDT", "CUSDT"]
    for key, (first, order, reverse) in expected.items():
        header = page.locator(f'th[data-key="{key}"]')
        header.locator("button").focus()
        page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == first
        assert "".join(symbol[0] for symbol in symbols(page)) == order, key
        page.keyboard.press("Space")
        assert "".join(symbol[0] for symbol in symbols(page)) == reverse, key
        assert page.locator('th[aria-sort$="cending"]').count() == 1


def test_the_filter_finds_symbols(page: Page, backend: Backend) -> None:
    backend.ingest([BTC, ETH, PEPE], ago(0))
    page.goto(backend.url)
    status(page, "Live")

    page.keyboard.press("/")
    page.keyboard.type("pe-")

    assert symbols(page) == ["1000PEPEUSDT"]
    assert page.locator("#count").inner_text() == "1 of 3"
    page.locator("#filter").fill("xyz")
    expect(page.locator("#empty")).to_have_text("No symbol contains “xyz”.")
    page.keyboard.press("Escape")
    assert len(symbols(page)) == 3


@pytest.mark.parametrize("width", [360, 390, 720, 740, 768, 1000, 1024, 1280])
def test_no_width_makes_the_page_scroll_sideways(page: Page, backend: Backend, width: int) -> None:
    backend.ingest([BTC, ETH, row("1000000MOGUSDT"), row("币安人生USDT")], ago(0))
    backend.http.post(f"{ALERTS}/ingest", json=alert("1000000MOGUSDT"))
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(backend.url)
    status(page, "Live")

    wide = "node => node.scrollWidth - node.clientWidth"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#scroller").evaluate(wide) == 0
    assert page.locator('tr[data-symbol="BTCUSDT"]').evaluate(wide) == 0
    for part in (".usd", ".d60"):  # what does not fit is left to the drawer; these always do
        expect(page.locator(f'tr[data-symbol="BTCUSDT"] {part}')).to_be_in_viewport(ratio=1)
    page.locator('tr[data-symbol="1000000MOGUSDT"]').click()
    expect(page.locator("#drawer")).to_be_in_viewport(ratio=1)
    assert page.locator("#drawer").evaluate(wide) == 0


def test_the_header_stays_while_900_rows_scroll(page: Page, backend: Backend) -> None:
    backend.ingest([row(f"S{index}USDT", index + 1.0) for index in range(900)], ago(0))
    page.goto(backend.url)
    expect(page.locator("tbody tr")).to_have_count(900)
    top = page.locator("thead").bounding_box()["y"]  # type: ignore[index]

    page.locator('tr[data-symbol="S899USDT"] button').focus()
    page.keyboard.press("End")

    expect(page.locator('tr[data-symbol="S0USDT"]')).to_be_in_viewport()
    expect(page.locator('tr[data-symbol="S0USDT"] button')).to_be_focused()
    assert page.locator("thead").bounding_box()["y"] == top  # type: ignore[index]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious(
    page: Page, services: Services, start_backend: Callable[..., Backend], scheme: str
) -> None:
    """Contrast included: every state of a row, a red hop, both directions of alerts, tiles, and the drawer."""
    services.bodies["publisher"] = report("stalled", "nothing done for more than 30 s")
    backend = start_backend(PIPELINE_HEALTH=services.setting)
    for symbol, seconds in (("AUSDT", 40), ("BUSDT", 20), ("CUSDT", 1)):
        backend.ingest([row(symbol, 900.0)], ago(seconds + 300))
        backend.ingest([row(symbol, 1000.0 if symbol == "BUSDT" else 800.0, fundingRate=-0.1)], ago(seconds))
    backend.universe("AUSDT", "BUSDT", "DUSDT")
    for direction in ("UP", "DOWN"):
        backend.http.post(f"{ALERTS}/ingest", json=alert("AUSDT", direction))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(backend.url)
    expect(page.locator('#strip [data-hop="publisher"]')).to_have_attribute("data-level", "bad")
    expect(page.locator("#movers li")).not_to_have_count(0)

    assert violations(page) == []
    page.locator('tr[data-symbol="BUSDT"]').click()
    expect(page.locator("#drawer .chart path.oi")).to_be_attached()
    assert violations(page) == []


def violations(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    return [(one["id"], node["html"]) for one in serious for node in one["nodes"]]


def test_the_drawer_tells_one_symbol_in_full(page: Page, backend: Backend) -> None:
    for seconds in range(600, -1, -30):
        backend.ingest([BTC | {"openInterest": 80_000.0 + seconds}, ETH], ago(seconds))
    page.goto(backend.url)
    status(page, "Live")
    name = page.locator('tr[data-symbol="BTCUSDT"] button')
    name.focus()

    page.keyboard.press("Enter")

    drawer = page.get_by_role("dialog", name="BTCUSDT")
    expect(drawer).to_be_visible()
    facts = dict(zip(drawer.locator("dt").all_inner_texts(), drawer.locator("dd").all_inner_texts(), strict=True))
    assert (facts["Open interest"], facts["Mark price"], facts["1 hour"]) == ("$7.662B", "93,041.35", "–")
    expect(drawer.locator(".chart")).to_have_attribute("aria-label", re.compile("^Open interest .*: 80,600 at"))
    drawer.locator(".chart").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(drawer.locator(".reading")).to_contain_text("80,060 contracts")

    backend.ingest([BTC | {"openInterest": 90_000.0}], ago(-1))
    expect(drawer.locator(".chart")).to_have_attribute("aria-label", re.compile("highest 90,000$"))
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(name).to_be_focused()


def test_the_theme_follows_the_system_until_one_is_chosen(page: Page, backend: Backend) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    page.goto(backend.url)
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark

    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light


def test_on_a_phone_one_part_is_shown_at_a_time(page: Page, backend: Backend) -> None:
    backend.ingest([BTC], ago(0))
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(backend.url)
    status(page, "Live")
    expect(page.locator("#movers")).to_be_hidden()

    page.locator("#views").get_by_role("button", name="Movers").click()

    expect(page.locator("#movers")).to_be_visible()
    expect(page.locator("#table")).to_be_hidden()


def test_roles_are_kept_for_screen_readers(page: Page, backend: Backend) -> None:
    backend.ingest([BTC], ago(0))
    page.goto(backend.url)
    status(page, "Live")

    expect(page.get_by_role("columnheader")).to_have_count(11)
    expect(page.get_by_role("rowheader", name="BTCUSDT")).to_be_visible()
    expect(page.get_by_role("row", name="BTCUSDT").get_by_role("cell")).to_have_count(10)
    expect(page.get_by_role("searchbox", name="Filter by symbol")).to_be_visible()
