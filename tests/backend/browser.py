"""One browser a test file, a page that fails the test when anything on it fails, and short ways to read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.backend.healthz import Services
from tests.backend.stand_in import Backend, row

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BTC = row("BTCUSDT", 82345.123, 93041.35202399, fundingRate=0.0001)
ETH = row("ETHUSDT", 2_000_000.0, 3012.5, fundingRate=-0.00025)
PEPE = row("1000PEPEUSDT", 5_000_000_000.0, 0.0045678)

# The browser shares its machine with other tests: it is given time, and what is waited for ends the wait.
expect.set_options(timeout=20_000)
needs_browser = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, backend: Backend) -> Iterator[Page]:
    """A page that fails the test when anything on it fails."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    own = re.compile(r"(http://127\.0\.0\.1:\d+/|data:)")
    page.on("request", lambda request: own.match(request.url) or errors.append(request.url))
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def services() -> Iterator[Services]:
    services = Services()
    yield services
    services.close()


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def cell(page: Page, symbol: str, column: str) -> str:
    return page.locator(f'tr[data-symbol="{symbol}"] .{column}').inner_text()


def symbols(page: Page) -> list[str]:
    return page.locator("tbody tr:not([hidden])").evaluate_all("rows => rows.map(row => row.dataset.symbol)")


def status(page: Page, text: str) -> None:
    expect(page.locator("#status-text")).to_have_text(text)
