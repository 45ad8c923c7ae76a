"""The page in a real browser: what it shows is what is served, and it says so when that is nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.backend.browser import BTC, ETH, PEPE, ago, cell, needs_browser, status, symbols
from tests.backend.healthz import Services
from tests.backend.stand_in import ALERTS, Backend, alert, row

pytestmark = needs_browser


def test_values_shown_are_the_values_served(page: Page, backend: Backend) -> None:
    backend.ingest([BTC, ETH, PEPE], ago(1))
    backend.universe("BTCUSDT", "ETHUSDT", "1000PEPEUSDT", volume=18_640_000_000)
    page.goto(backend.url)
    status(page, "Live")

    columns = ("usd", "contracts", "mark", "funding", "volume")
    shown = {symbol: [cell(page, symbol, column) for column in columns] for symbol in symbols(page)}

    assert shown == {
        "BTCUSDT": ["$7.662B", "82,345.12", "93,041.35", "+0.0100%", "$18.64B"],
        "ETHUSDT": ["$6.025B", "2.000M", "3,012.50", "−0.0250%", "$18.64B"],
        "1000PEPEUSDT": ["$22.84M", "5.000B", "0.0045678", "–", "$18.64B"],
    }
    for name, usd in backend.read()["data"].items():
        page.locator(f'tr[data-symbol="{name}"] .usd').hover()
        assert float(page.locator(f'tr[data-symbol="{name}"] .usd').get_attribute("title") or "") == usd
    assert page.locator("#total").inner_text() == "$13.71B"
    assert page.locator("#served").inner_text() == "3"
    assert page.locator("#served-note").inner_text() == "of 3 liquid"


def test_nothing_is_shown_as_nothing(page: Page, backend: Backend) -> None:
    page.goto(backend.url)

    status(page, "Waiting for the first batch")
    assert [page.locator(f"#{name}").inner_text() for name in ("total", "served", "batch")] == ["–"] * 3
    expect(page.locator("#empty")).to_have_text("No values yet. They appear with the first batch.")
    expect(page.locator("#alerts .none")).to_have_text("None yet.")
    expect(page.locator("#movers .none")).to_be_visible()
    assert "0" not in page.locator("header dl").inner_text().replace("15 m", "").replace("5 m", "")


def test_a_batch_arrives_without_reloading(page: Page, backend: Backend) -> None:
    backend.ingest([BTC, ETH], ago(2))
    page.goto(backend.url)
    line = page.locator('tr[data-symbol="BTCUSDT"]')
    expect(line.locator(".usd")).to_have_text("$7.662B")
    line.evaluate("row => { row.sameRow = true; }")

    backend.ingest([BTC | {"openInterestUsd": 1.5e9}, PEPE], ago(0))

    expect(line.locator(".usd")).to_have_text("$1.500B")
    assert line.evaluate("row => row.sameRow")
    assert symbols(page) == ["ETHUSDT", "BTCUSDT", "1000PEPEUSDT"]


def test_ages_go_on_and_change_colour(page: Page, backend: Backend) -> None:
    for symbol, seconds in (("AUSDT", 3), ("BUSDT", 16), ("CUSDT", 40)):
        backend.ingest([row(symbol)], ago(seconds))
    backend.ingest([row("DUSDT")], ago(14))
    page.goto(backend.url)

    expect(page.locator('tr[data-symbol="AUSDT"]')).to_have_attribute("data-level", "good")
    expect(page.locator('tr[data-symbol="BUSDT"]')).to_have_attribute("data-level", "warn")
    expect(page.locator('tr[data-symbol="CUSDT"]')).to_have_attribute("data-level", "bad")
    expect(page.locator('tr[data-symbol="DUSDT"]')).to_have_attribute("data-level", "warn")  # 15 s by now
    status(page, "1 symbol older than 30 s")


def test_silence_is_said_with_its_time(page: Page, backend: Backend) -> None:
    stamp = ago(3600)
    backend.ingest([BTC], stamp)
    page.goto(backend.url)

    local_time = page.evaluate("stamp => new Date(stamp).toLocaleTimeString('en-GB')", stamp)
    expect(page.locator("#status-text")).to_have_text(re.compile(f"^No data since .*{local_time}$"))
    assert page.locator("#batch").inner_text() == "1 h 00 m"


def test_a_lost_line_is_said_and_found_again(page: Page, backend: Backend) -> None:
    backend.ingest([BTC], ago(0))
    page.goto(backend.url)
    status(page, "Live")

    backend.control(away=1)

    expect(page.locator("#status-text")).to_contain_text("Connection lost, values of ")
    status(page, "Live")


def test_the_incident_shows(page: Page, backend: Backend) -> None:
    """Four posts that all succeeded, and the majors are gone: dashes and a loud line, no zeros."""
    backend.universe("BTCUSDT", "ETHUSDT", "1000PEPEUSDT")
    backend.control(cacheMode="replace")
    page.goto(backend.url)
    for chunk in ([BTC, ETH], [PEPE]):
        backend.ingest(chunk, ago(0))

    status(page, "2 of 3 not served")
    assert symbols(page) == ["1000PEPEUSDT", "BTCUSDT", "ETHUSDT"]
    btc = [cell(page, "BTCUSDT", column) for column in ("usd", "contracts", "mark", "age", "tag")]
    assert btc == ["–", "–", "–", "–", "not served"]
    assert page.locator("#served").inner_text() == "1"


def test_a_symbol_that_left_the_universe_is_marked(page: Page, backend: Backend) -> None:
    backend.ingest([BTC, PEPE], ago(0))
    backend.universe("BTCUSDT")
    page.goto(backend.url)

    status(page, "1 symbol no longer liquid")
    assert cell(page, "1000PEPEUSDT", "tag") == "not liquid"
    assert page.locator("#total").inner_text() == "$7.662B"


def test_alerts_come_newest_first_and_look_their_symbol_up(page: Page, backend: Backend) -> None:
    backend.ingest([BTC, ETH], ago(0))
    backend.http.post(f"{ALERTS}/ingest", json=alert("BTCUSDT", timestamp=ago(130)))
    page.goto(backend.url)
    expect(page.locator("#alerts li")).to_have_count(1)

    backend.http.post(f"{ALERTS}/ingest", json=alert("ETHUSDT", "DOWN", pctChange=-0.041, timestamp=ago(1)))

    expect(page.locator("#alerts li")).to_have_count(2)
    newest, oldest = page.locator("#alerts li").all()
    assert newest.locator(".change").inner_text() == "▼ −4.10%"
    assert oldest.inner_text().split("\n") == ["BTCUSDT", "▲ +3.40%", "100,000 → 103,400", "5 min · 2 m ago"]
    newest.locator("button").click()
    expect(page.locator("#drawer-title")).to_have_text("ETHUSDT")
    expect(page.locator("#drawer .told li")).to_have_count(1)


def test_changes_are_told_against_what_was_served_then(page: Page, backend: Backend) -> None:
    """Up, down and not known: a dash is no zero, and only what is known is a mover."""
    for minutes, btc, eth in ((60, 80.0, 200.0), (15, 100.0, 100.0), (5, 125.0, 98.0)):
        backend.ingest([row("BTCUSDT", btc, 2.0), row("ETHUSDT", eth, 3.0)], ago(minutes * 60))
    backend.ingest([row("BTCUSDT", 100.0, 2.0), row("ETHUSDT", 100.0, 3.0), row("NEWUSDT", 5.0, 1.0)], ago(1))
    page.goto(backend.url)
    status(page, "Live")

    told = {name: [cell(page, name, key) for key in ("d5", "d15", "d60")] for name in symbols(page)}
    assert told["BTCUSDT"] == ["−20.00%", "0.00%", "+25.00%"]
    assert told["ETHUSDT"] == ["+2.04%", "0.00%", "−50.00%"]
    assert told["NEWUSDT"] == ["–", "–", "–"]
    tiles = page.locator("#movers li b")
    expect(tiles).to_have_text(["−20.00%", "+2.04%"])
    page.get_by_role("group", name="Time frame").get_by_role("button", name="1 h").click()
    expect(tiles).to_have_text(["−50.00%", "+25.00%"])
    assert page.locator('tr[data-symbol="BTCUSDT"] .spark path').get_attribute("d")
    assert not page.locator('tr[data-symbol="NEWUSDT"] .spark path').get_attribute("d")


def test_what_grew_old_is_no_mover(page: Page, start_backend: Callable[..., Backend]) -> None:
    """Data that stopped: the last change must not stand there as if it were going on."""
    backend = start_backend()
    for seconds, contracts in ((300, 100.0), (0, 110.0)):
        backend.ingest([row("BTCUSDT", contracts, 2.0)], ago(seconds))
    page.clock.install()
    page.goto(backend.url)
    expect(page.locator("#movers li b")).to_have_text(["+10.00%"])
    backend.process.terminate()
    expect(page.locator("#status-text")).to_contain_text("Connection lost, values of ")

    page.clock.fast_forward(31_000)

    expect(page.locator("#movers li")).to_have_count(0)
    expect(page.locator("#movers .none")).to_have_text("No current values.")
    assert page.locator("#changes b").all_inner_texts() == ["–"] * 4
    assert [cell(page, "BTCUSDT", key) for key in ("d5", "usd")] == ["–", "$220.00"]


def test_a_symbol_that_batches_no_longer_bring_is_stale(page: Page, backend: Backend) -> None:
    """A merging backend keeps its value for ever: it is shown with its age, and no change is claimed of it."""
    backend.ingest([row("OLDUSDT", 90.0, 2.0)], ago(1500))
    backend.ingest([row("OLDUSDT", 100.0, 2.0)], ago(1200))
    backend.ingest([BTC], ago(0))
    page.goto(backend.url)

    status(page, "1 symbol older than 30 s")
    assert cell(page, "OLDUSDT", "tag") == "stale"
    assert cell(page, "OLDUSDT", "usd") == "$200.00"
    assert re.fullmatch(r"20 m \d\d s", cell(page, "OLDUSDT", "age"))
    assert cell(page, "OLDUSDT", "d5") == "–"


def test_a_red_hop_says_since_when_and_why(
    page: Page, services: Services, start_backend: Callable[..., Backend]
) -> None:
    backend = start_backend(PIPELINE_HEALTH=services.setting)
    backend.ingest([BTC], ago(0))
    page.goto(backend.url)
    hop = lambda name: page.locator(f'#strip [data-hop="{name}"]')  # noqa: E731
    for name in ("ws_daemon", "publisher", "backend", "page"):
        expect(hop(name)).to_have_attribute("data-level", "good")

    services.bodies["publisher"] = None

    expect(hop("publisher")).to_have_attribute("data-level", "bad")
    expect(hop("ws_daemon")).to_have_attribute("data-level", "good")
    expect(page.locator("#status-text")).to_have_text(re.compile(r"^(Delivery: no answer|No data) since [\d:]+$"))
    hop("publisher").get_by_role("button").focus()
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"^Delivery: no answer since [\d:]+"))
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    backend.process.terminate()
    expect(hop("page")).to_have_attribute("data-level", "bad")
    expect(hop("ws_daemon")).to_have_attribute("data-level", "none")  # nothing is known of it any more


def test_services_that_are_not_named_are_not_claimed(page: Page, backend: Backend) -> None:
    page.goto(backend.url)
    expect(page.locator("#strip .absent")).to_have_text("services not connected")
    assert page.locator("#strip [data-hop]").evaluate_all("all => all.map(li => li.dataset.hop)") == ["backend", "page"]
