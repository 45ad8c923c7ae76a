"""``python -m dev.venues``: the five venues as a process, each under its own path, until SIGTERM or Ctrl-C.

``/<venue>/…`` is the venue. ``GET /control`` tells the truth and the faults in force; ``POST /control`` takes one,
``{"venue":"okx","fault":"doubled","symbol":"","seconds":60}``; ``POST /control/clear`` ends them all.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from aiohttp import web

from dev.venues.answers import Asked, Venues
from dev.venues.faults import FAULTS, Fault
from dev.venues.market import LISTS, Market


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Server:
    def __init__(self, venues: Venues) -> None:
        self.venues = venues

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/control", self._truth)
        app.router.add_post("/control", self._fault)
        app.router.add_post("/control/clear", self._clear)
        for venue in LISTS:
            app.router.add_route("*", f"/{venue}/{{path:.*}}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        venue = request.path.split("/")[1]
        path = "/" + request.match_info["path"]
        asked = Asked(path, dict(request.query), request.method, await request.read(), request.content_type)
        answer = self.venues.answer(venue, asked, now_ms())
        kind = "text/html" if answer.body.startswith(b"<") else "application/json"
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers, content_type=kind)

    async def _truth(self, _: web.Request) -> web.Response:
        at_ms, market = now_ms(), self.venues.market
        truth: dict[str, dict[str, float]] = {}
        for venue, contracts in market.contracts.items():
            truth[venue] = {c.symbol: market.coins(c, at_ms) for c in contracts}
        return web.json_response({"at": at_ms, "coins": truth, "faults": self.venues.faults.told(), "known": FAULTS})

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            asked: dict[str, Any] = json.loads(await request.read())
            begun = now_ms()
            until = begun + 1000 * float(asked["seconds"]) if "seconds" in asked else float("inf")
            if asked["venue"] not in LISTS:
                raise ValueError(f"{asked['venue']!r} is not one of {', '.join(LISTS)}")
            self.venues.faults.add(asked["venue"], Fault(asked["fault"], asked.get("symbol", ""), until, begun))
        except (ValueError, KeyError, TypeError) as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response({"faults": self.venues.faults.told()})

    async def _clear(self, _: web.Request) -> web.Response:
        self.venues.faults.clear()
        return web.json_response({"faults": {}})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.venues", description=__doc__)
    parser.add_argument("--port", type=int, default=18091)
    parser.add_argument("--seed", type=int, default=1, help="that of the exchange stand-in: prices agree then")
    args = parser.parse_args()
    app = Server(Venues(Market(args.seed, now_ms()))).app()
    web.run_app(app, host="127.0.0.1", port=args.port, access_log=None, print=lambda _: None)


if __name__ == "__main__":
    main()
