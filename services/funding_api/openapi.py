"""``/openapi.json``: the API in OpenAPI 3.1, generated from the bodies; and the routes, as ``/`` and ``/docs`` show."""

from __future__ import annotations

import html
import re
from typing import Any, NamedTuple

import msgspec

from services.funding_api import bodies

TITLE = "oi-pipeline funding API"


class Route(NamedTuple):
    about: str
    answers: dict[int, str]  # status -> schema


ROUTES = {
    "/funding/{symbol}": Route("mark price and funding of a symbol", {200: "Funding", 404: "Refusal", 503: "Refusal"}),
    "/funding/batch": Route(
        "the same of several: ?symbols=BTCUSDT,ETHUSDT", {200: "FundingRows", 400: "Refusal", 503: "Refusal"}
    ),
    "/funding/all": Route("the same of every symbol", {200: "FundingRows", 503: "Refusal"}),
    "/funding/health": Route("whether the data can be relied on", {200: "Health", 503: "Health"}),
    "/open-interest/{symbol}": Route(
        "open interest of a symbol, and the audit's verdict", {200: "OpenInterest", 404: "Refusal", 503: "Refusal"}
    ),
    "/open-interest/all": Route("the same of every symbol polled", {200: "OpenInterestRows", 503: "Refusal"}),
    "/open-interest/aggregate": Route(
        "open interest of every coin over all venues that are read, with the members of each sum",
        {200: "Aggregated", 404: "Refusal", 503: "Refusal"},
    ),
    "/open-interest/venues/{base}": Route(
        "open interest of a coin at each venue, and why one is not in the sum",
        {200: "VenueSum", 404: "Refusal", 503: "Refusal"},
    ),
    "/changes": Route(
        "by how much open interest has moved since 5 min, 15 min, 1 h, 4 h, 24 h, 7 d, of every symbol",
        {200: "ChangeRows", 503: "Refusal"},
    ),
    "/history/{symbol}": Route(
        "open interest and mark price of a symbol in the past: ?from=&to=&step=5m",
        {200: "History", 400: "Refusal", 404: "Refusal", 503: "Refusal"},
    ),
    "/openapi.json": Route("this API in OpenAPI 3.1", {200: "Document"}),
    "/": Route("this list", {200: "Document"}),
}
MEANING = {
    200: "The answer; of several symbols, one without data has its error in its place",
    400: "The request cannot be answered as it is, such as no symbols, or more than are answered at once",
    404: "No such symbol or coin; or no other venue is read",
    503: "Stale or not to be had; the cause is named",
}
SYMBOL = {
    "name": "symbol",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Upper or lower case; percent-encoded UTF-8 where it is not ASCII",
}
BASE = {**SYMBOL, "name": "base", "description": "A coin, such as BTC or PEPE; 1000PEPE is PEPE too"}
SYMBOLS = {**SYMBOL, "name": "symbols", "in": "query", "description": "Comma-separated, 2000 at most"}
SPAN = [
    {**SYMBOL, "name": name, "in": "query", "required": False, "description": about}
    for name, about in (
        ("from", "Unix seconds or ISO 8601 with a zone; absent: a day before `to`"),
        ("to", "The same; absent: now"),
        ("step", "1m, 5m, 15m, 1h, 4h or 1d; absent: 5m"),
    )
]
REFERENCE = "#/components/schemas/{name}"


def _rows(row: str) -> dict[str, Any]:
    either = [{"$ref": REFERENCE.format(name=name)} for name in (row, "Problem")]
    fields = {"data": {"type": "array", "items": {"anyOf": either}}}
    fields |= {name: {"type": "integer"} for name in ("found", "missing", "total")}
    return {"type": "object", "properties": fields, "required": list(fields)}


def _schemas() -> dict[str, Any]:
    types = [
        *(bodies.Funding, bodies.OpenInterest, bodies.Refusal, bodies.Health),
        *(bodies.Aggregated, bodies.ChangeRows, bodies.History),
    ]
    _, schemas = msgspec.json.schema_components(types, ref_template=REFERENCE)
    rows = {f"{name}Rows": _rows(name) for name in ("Funding", "OpenInterest")}
    return {**schemas, **rows, "Document": {"type": "object"}}


def _operation(path: str, route: Route) -> dict[str, Any]:
    responses = {
        str(status): {
            "description": MEANING[status],
            "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name=name)}}},
        }
        for status, name in route.answers.items()
    }
    in_path = [{"symbol": SYMBOL, "base": BASE}[name] for name in re.findall(r"{(\w+)}", path)]
    parameters = in_path or ([SYMBOLS] if path.endswith("batch") else [])
    parameters += SPAN if path.startswith("/history") else []
    return {"summary": route.about, "parameters": parameters, "responses": responses}


def document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1.0.0"},
        "paths": {path: {"get": _operation(path, route)} for path, route in ROUTES.items()},
        "components": {"schemas": _schemas()},
    }


def page() -> str:
    """``/docs`` for people; the old API showed a page that loaded its scripts from another host."""
    rows = "".join(f"<tr><td><code>GET {path}</code><td>{html.escape(route.about)}" for path, route in ROUTES.items())
    document = '<p>What each answer holds, in OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a>'
    head = f"<!doctype html><meta charset=utf-8><title>{TITLE}</title><h1>{TITLE}</h1>"
    return f"{head}{document}<table>{rows}</table>"


def index() -> dict[str, Any]:
    return {"service": "funding_api", "routes": {path: route.about for path, route in ROUTES.items()}}
