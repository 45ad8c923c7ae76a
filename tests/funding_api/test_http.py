"""Over the loopback, from the real Redis: every route, status and body, and what a careless client sends."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote

import aiohttp
import pytest
from redis.asyncio import Redis
from yarl import URL

from services.funding_api.answers import MOST_SYMBOLS, Answers
from services.funding_api.snapshot import FRESH_S, HASHES, Reader
from shared.errors import Transient
from tests.builders import NOW_MS, mark, reading
from tests.fakes import FakeClock
from tests.funding_api.conftest import Client
from tests.funding_api.stored import hashes, store

CHINESE = ["币安人生USDT", "我踏马来了USDT", "龙虾USDT", "牛来USDT", "哈基米USDT"]
MANY = [f"S{n}USDT" for n in range(336)] + CHINESE


async def fill(redis: Redis, symbols: list[str], **changes: Any) -> None:
    marks, readings = [mark(s, **changes) for s in symbols], [reading(s) for s in symbols]
    await store(redis, hashes(marks, readings, dict.fromkeys(symbols, (1.5, NOW_MS, "verified"))))


async def commands(redis: Redis, name: str) -> int:
    return int((await redis.info("commandstats")).get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def test_each_symbol_is_found_by_its_percent_encoded_name(api: Client, redis: Redis) -> None:
    await fill(redis, ["BTCUSDT", *CHINESE])

    for symbol in ["BTCUSDT", *CHINESE]:
        for written in (symbol, symbol.lower()):
            for route in ("funding", "open-interest"):
                status, body = await api.get(f"/{route}/{quote(written)}")
                assert (status, body["symbol"]) == (200, symbol)

    status, body = await api.get(f"/funding/batch?symbols={quote(','.join(CHINESE))}")
    assert (status, [row["symbol"] for row in body["data"]]) == (200, CHINESE)


async def test_while_redis_is_away_each_route_says_so(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the health in the form of a health, by which the old scripts' watchdog goes."""
    for asked in ("latest", "changes"):
        monkeypatch.setattr(Reader, asked, AsyncMock(side_effect=Transient("Redis: gone")))

    for path in ("funding/BTCUSDT", "funding/batch?symbols=A", "funding/all", "open-interest/all", "changes"):
        away = {"detail": {"error": "Data unavailable", "cause": "Redis: gone"}}
        assert await api.get(f"/{path}") == (503, away)
    status, body = await api.get("/funding/health")
    assert (status, body["status"], body["error"]) == (503, "unhealthy", "Redis: gone")


async def test_the_fixed_names_are_never_taken_for_symbols(api: Client, redis: Redis) -> None:
    """`/funding/batch` once answered 404, Symbol not found: batch."""
    await fill(redis, ["BTCUSDT"])

    assert await api.get("/funding/batch") == (400, {"detail": {"error": "No symbols provided"}})
    assert await api.get("/funding/batch?symbols=%20,,") == (400, {"detail": {"error": "No symbols provided"}})
    assert (await api.get("/funding/batch?symbols=BTCUSDT"))[1]["found"] == 1
    assert (await api.get("/funding/health"))[1]["symbolCount"] == 1
    assert (await api.get("/funding/all"))[1]["total"] == 1
    assert (await api.get("/open-interest/all"))[1]["data"][0]["verdict"] == "verified"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/funding/", 404),
        ("GET", "/funding/%00%2F", 404),
        ("GET", "/funding/%FF%FE", 404),
        ("GET", "/funding/%ED%A0%80", 404),
        ("GET", "/funding/" + "A" * 5000, 404),
        ("GET", "/funding/batch?symbols=%ED%A0%80,%FF", 200),
        ("GET", "/funding/batch?symbols=BTCUSDT&symbols=ETHUSDT", 200),
        ("POST", "/funding/BTCUSDT", 405),
    ],
)
async def test_whatever_is_asked_is_answered_in_json(api: Client, method: str, path: str, status: int) -> None:
    answered, body = await api.get(path, method)
    assert answered == status
    assert ("detail" in body) == (status != 200)


async def test_a_batch_is_bounded_in_symbols_and_in_bytes(api: Client, redis: Redis) -> None:
    """The limit itself must fit into a request line, in Chinese too."""
    await fill(redis, CHINESE)
    longest = "币安人生USDT"

    status, body = await api.get("/funding/batch?symbols=" + ",".join([quote(longest)] * MOST_SYMBOLS))
    assert (status, body["found"]) == (200, MOST_SYMBOLS)
    async with api.session.get(f"{api.origin}/funding/batch?symbols={'A' * 200_000}") as answer:
        assert answer.status == 400
        assert "131072" in await answer.text()


async def test_what_is_no_http_is_400_and_fills_no_log(api: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Any program on the host can send rubbish for ever."""
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nA\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.origin.rpartition(":")[2]))
        writer.write(rubbish)
        assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
        writer.close()
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


async def test_a_bug_is_500_and_in_the_log(
    api: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "funding_all", lambda _: 1 / 0)
    async with api.session.get(f"{api.origin}/funding/all") as answer:
        assert answer.status == 500
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    assert api.registry.get_sample_value("pipeline_api_requests_total", {"route": "/funding/all", "status": "500"}) == 1


async def test_341_fresh_connections_at_once_are_all_answered_by_one_read_of_redis(
    api: Client, redis: Redis, clock: FakeClock
) -> None:
    """The old scripts open a connection for each call, all of them in the same instant: 341 lookups a cycle."""
    await fill(redis, MANY)
    before = await commands(redis, "hgetall")
    fresh = aiohttp.TCPConnector(force_close=True, limit=0)

    async with aiohttp.ClientSession(connector=fresh) as session:
        client = Client(api.origin, session, api.registry)
        answers = await asyncio.gather(*(client.get(f"/funding/{quote(symbol)}") for symbol in MANY))

    assert [(status, body["symbol"]) for status, body in answers] == [(200, symbol) for symbol in MANY]
    assert await commands(redis, "hgetall") - before == len(HASHES)

    clock.advance(s=FRESH_S)
    await api.get("/funding/S0USDT")
    assert await commands(redis, "hgetall") - before == 2 * len(HASHES)


async def test_requests_are_counted_by_route_and_status_and_never_by_symbol(api: Client, redis: Redis) -> None:
    await fill(redis, ["BTCUSDT"])
    for path in ("/funding/BTCUSDT", "/funding/btcusdt", "/funding/NOPE", "/funding/batch", "/nope", "/nope/2"):
        await api.get(path)

    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in api.registry.collect()
        for sample in family.samples
        if sample.name == "pipeline_api_requests_total"
    }
    assert counted == {
        ("/funding/{symbol}", "200"): 2,
        ("/funding/{symbol}", "404"): 1,
        ("/funding/batch", "400"): 1,
        ("other", "404"): 2,
    }


@pytest.mark.parametrize("path", ["/funding/BTCUSDT/", "/funding/batch/?symbols=BTCUSDT"])
async def test_a_slash_too_much_leads_to_the_answer_as_in_the_old_api(api: Client, redis: Redis, path: str) -> None:
    await fill(redis, ["BTCUSDT"])

    async with api.session.get(api.origin + path, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (307, path.replace("/?", "?").removesuffix("/"))

    assert (await api.get(path))[0] == 200


async def test_a_redirect_never_leads_to_another_host(api: Client) -> None:
    url = URL(api.origin + "//elsewhere.example/funding/A/", encoded=True)
    async with api.session.get(url, allow_redirects=False) as answer:
        assert answer.status == 404


async def test_the_old_page_for_people_is_there_and_names_every_route(api: Client) -> None:
    async with api.session.get(api.origin + "/docs") as answer:
        page = await answer.text()

    assert (answer.status, answer.content_type) == (200, "text/html")
    for path in (await api.get("/"))[1]["routes"]:
        assert f"GET {path}<" in page
