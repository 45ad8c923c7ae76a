"""`/openapi.json` is valid, lists every route, and the real answers are what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.funding_api import bodies
from services.funding_api.app import Api, listen
from services.funding_api.metrics import Metrics
from services.funding_api.openapi import document
from services.funding_api.settings import Settings
from services.funding_api.snapshot import Reader
from services.funding_api.venues import Venues
from shared.settings import load
from shared.store import connect
from tests.builders import NOW_MS, mark, reading
from tests.fakes import FakeClock
from tests.funding_api.conftest import Client, Past
from tests.funding_api.stored import hashes, store

DOCUMENT = document()


def as_described(body: Any, path: str, status: int) -> bool:
    """Whether this is what the document says of the route: every field of its type, none missing, and no other."""
    answer = DOCUMENT["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]["schema"]
    name = answer["$ref"].rpartition("/")[2]
    if name == "Document":
        return isinstance(body, dict)
    if name.endswith("Rows") and not hasattr(bodies, name):
        row = getattr(bodies, name.removesuffix("Rows"))
        rows = [_again(told, bodies.Problem if "error" in told else row) for told in body["data"]]
        counts = {count: body[count] for count in ("found", "missing", "total")}
        return all(type(count) is int for count in counts.values()) and bool(body == {"data": rows, **counts})
    return bool(body == _again(body, getattr(bodies, name)))


def _again(body: Any, kind: Any) -> Any:
    return msgspec.to_builtins(msgspec.convert(body, kind))


def resolve(reference: str) -> Any:
    place: Any = DOCUMENT
    assert reference.startswith("#/")
    for name in reference[2:].split("/"):
        place = place[name]
    return place


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_the_document_has_the_structure_of_openapi_3_1() -> None:
    """The rules of the specification that a reader stumbles over: required fields, references, path parameters."""
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {"openapi", "info", "paths", "components"}
    assert set(references(DOCUMENT)) == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    for reference in references(DOCUMENT):
        assert isinstance(resolve(reference), dict)
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith("/")
        assert item.keys() == {"get"}
        operation = item["get"]
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert all({"name", "in", "schema"} <= p.keys() for p in operation["parameters"])
        assert all(p["required"] is True for p in operation["parameters"] if p["in"] == "path")
        assert all(p["in"] in {"path", "query"} for p in operation["parameters"])
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            assert response["content"].keys() == {"application/json"}


async def test_the_routes_of_the_document_are_those_that_are_served(api: Client) -> None:
    """The document served is this one, and no path in it answers 404 for want of a route."""
    assert await api.get("/openapi.json") == (200, DOCUMENT)
    assert (await api.get("/"))[1]["routes"].keys() == DOCUMENT["paths"].keys()
    for path in DOCUMENT["paths"]:
        _, body = await api.get(path.replace("{symbol}", "BTCUSDT").replace("{base}", "BTC"))
        assert body.get("detail") != "Not Found", path


async def test_what_is_answered_is_what_the_document_says(
    api: Client, redis: Redis, clock: FakeClock, past: Past
) -> None:
    marks = [mark(), mark("OLDUSDT", received_ms=NOW_MS - 999_000), mark("BTCUSDT_261225", funding_rate=None)]
    served = {"BTCUSDT": (1.5, NOW_MS, "verified")}
    await past.told(redis)
    await store(redis, hashes(marks, [reading(), reading("OLDUSDT"), reading("XUSDT")], served))
    asked = [
        ("/funding/{symbol}", "/funding/BTCUSDT", 200),
        ("/funding/{symbol}", "/funding/BTCUSDT_261225", 200),
        ("/funding/{symbol}", "/funding/nope", 404),
        ("/funding/{symbol}", "/funding/oldusdt", 503),
        ("/funding/batch", "/funding/batch?symbols=BTCUSDT,OLDUSDT,NOPE", 200),
        ("/funding/batch", "/funding/batch", 400),
        ("/funding/batch", "/funding/batch?symbols=" + "A," * 2001, 400),
        ("/funding/all", "/funding/all", 200),
        ("/funding/health", "/funding/health", 200),
        ("/open-interest/{symbol}", "/open-interest/BTCUSDT", 200),
        ("/open-interest/{symbol}", "/open-interest/nope", 404),
        ("/open-interest/{symbol}", "/open-interest/XUSDT", 503),
        ("/open-interest/all", "/open-interest/all", 200),
        ("/open-interest/aggregate", "/open-interest/aggregate", 404),
        ("/open-interest/venues/{base}", "/open-interest/venues/BTC", 404),
        ("/changes", "/changes", 200),
        ("/history/{symbol}", "/history/btcusdt", 200),
        ("/history/{symbol}", "/history/nope", 404),
        ("/history/{symbol}", "/history/BTCUSDT?step=2m", 400),
        ("/", "/", 200),
    ]

    async def check(route: str, path: str, expected: int) -> None:
        status, body = await api.get(path)
        assert (path, status) == (path, expected)
        assert as_described(body, route, status), path

    for route, path, expected in asked:
        await check(route, path, expected)
    clock.advance(s=999)
    await check("/funding/health", "/funding/health", 503)
    past.path.unlink()
    await check("/history/{symbol}", "/history/BTCUSDT", 503)


async def test_while_redis_is_away_too(clock: FakeClock, tmp_path: Path) -> None:
    metrics, redis = Metrics(CollectorRegistry()), connect("redis://127.0.0.1:1")
    settings = load(Settings, {"HISTORY_PATH": str(tmp_path / "history.db")})
    away = Api(settings, Reader(redis, metrics, clock), Venues(redis, metrics, clock), metrics, clock)

    async with listen(away.app(), "127.0.0.1", 0) as origin, aiohttp.ClientSession() as session:
        for route in DOCUMENT["paths"]:
            path = route.replace("{symbol}", "BTCUSDT").replace("{base}", "BTC")
            async with session.get(f"{origin}{path}?symbols=BTCUSDT") as answer:
                assert (route, answer.status) == (route, 200 if route in {"/", "/openapi.json"} else 503)
                assert as_described(await answer.json(), route, answer.status), route


def test_the_check_is_not_blind() -> None:
    good = msgspec.to_builtins(bodies.Funding(1.5, None, 0, 1.0, 1.0, "BTCUSDT", 0.0))
    assert as_described(good, "/funding/{symbol}", 200)
    assert not as_described({**good, "more": 1}, "/funding/{symbol}", 200)
    for change in ({"markPrice": "1.5"}, {"markPrice": None}, {"symbol": 1}, {"ageSeconds": True}):
        with pytest.raises(msgspec.ValidationError):
            as_described({**good, **change}, "/funding/{symbol}", 200)
