"""The control route: what is in force, what was counted, and how to change it. README.md has the examples."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import web

from dev.exchange.faults import SPECS, BadFaultError, Fault, check
from dev.exchange.hub import Hub
from dev.exchange.market import Book
from dev.exchange.values import Move, token
from dev.exchange.venue import Venue

LINKS = ("ws_mute", "ws_ack_mute", "ws_stall", "ws_drip")
TABLES = {"oi_value": "interests", "oi_time": "times", "mark_value": "marks"}


class Control:
    """Applies faults to a venue and its hub, and ends them when their time is over."""

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self.venue, self.hub = venue, hub
        self.started_s = time.monotonic()

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/control", self._get)
        app.router.add_post("/control", self._post)
        app.router.add_post("/control/reset", self._reset)
        app.router.add_post("/control/clear", self._clear)

    async def _get(self, _: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _post(self, request: web.Request) -> web.Response:
        """One fault as an object, or several as an array; none is applied if one is malformed."""
        try:
            asked = json.loads(await request.read())
            many = asked if isinstance(asked, list) else [asked]
            if not many or not all(isinstance(one, dict) for one in many):
                raise BadFaultError("send one JSON object or an array of them")
            checked = [check(one) for one in many]
            for name, params, _, _ in checked:
                self._must_exist(name, params)
            done = [self.apply(*one) for one in checked]
        except (ValueError, UnicodeDecodeError) as e:
            return web.json_response({"error": str(e)}, status=400)
        return web.json_response({"applied": done})

    async def _reset(self, _: web.Request) -> web.Response:
        """No fault, no override, contracts and limiter as after the start, counts at zero."""
        for fault in self.venue.faults.all():
            self.end(fault)
        self.venue.reset()
        self.venue.requests.clear()
        self.venue.statuses.clear()
        self.hub.sent.clear()
        self.hub.apply_links()
        return web.json_response(self.state())

    async def _clear(self, request: web.Request) -> web.Response:
        """End faults by name or by id: ``{"fault": "ws_mute"}`` or ``{"id": 3}``."""
        try:
            asked = json.loads(await request.read())
            wanted = [f for f in self.venue.faults.all() if asked.get("fault") == f.name or asked.get("id") == f.id]
        except (ValueError, AttributeError) as e:
            return web.json_response({"error": f'send {{"fault": name}} or {{"id": number}}: {e}'}, status=400)
        return web.json_response({"cleared": [f.id for f in wanted if self.end(f)]})

    def _must_exist(self, name: str, params: dict[str, Any]) -> None:
        book = self.venue.find(params.get("symbol", ""))
        if name == "list" and book is not None and book.contract.trading:
            raise BadFaultError(f"list: {params['symbol']} trades already")
        if name != "list" and "symbol" in params and book is None:
            raise BadFaultError(f"{name}: symbol {params['symbol']!r} is not listed")
        wanted = params.get("symbols")
        if unknown := [s for s in wanted if s not in self.venue.books] if isinstance(wanted, list) else []:
            raise BadFaultError(f"{name}: not listed: {', '.join(map(str, unknown))}")
        if name == "ws_half_mute" and not wanted and not params["share"]:
            raise BadFaultError("ws_half_mute needs share or symbols")
        if isinstance(conn := params.get("conn"), str) and conn != "all":
            raise BadFaultError(f'{name}: conn must be "all" or an index, not {conn!r}')
        if isinstance(conn, int) and not self.hub.chosen(conn):
            raise BadFaultError(f"{name}: there is no connection {conn}; {len(self.hub.connections)} are open")

    def apply(self, name: str, params: dict[str, Any], seconds: float | None, times: int | None) -> dict[str, Any]:
        """Put one fault into force, or do it; returns what the control route answers."""
        if (act := getattr(self, f"do_{name}", None)) is not None:
            return {"fault": name, **params, "done": act(params)}
        if isinstance(conn := params.get("conn"), int):
            params["only"] = self.hub.chosen(conn)[0].number
        until_s = None if seconds is None else time.monotonic() + seconds
        fault = self.venue.faults.add(name, params, until_s, times)
        self._settle(name)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.end, fault)
        return fault.told(time.monotonic())

    def end(self, fault: Fault) -> bool:
        """Take a fault away and bring its effects in line with those that stay."""
        if not self.venue.faults.drop(fault):
            return False
        self._settle(fault.name)
        return True

    def _settle(self, name: str) -> None:
        """Make the state what the faults in force say."""
        venue = self.venue
        if name in LINKS:
            self.hub.apply_links()
        elif name == "clock_skew":
            venue.clock_skew_ms = float(sum(f.params["ms"] for f in venue.faults.of(name)))
        elif name == "limits":
            self._rules()
        elif name in (*TABLES, "volume_value"):
            self._overrides()
        venue.forget_quotes()

    def _overrides(self) -> None:
        tweaks, faults = self.venue.tweaks, self.venue.faults
        for name, table in TABLES.items():
            found = {f.params["symbol"].upper(): token(f.params["value"]) for f in faults.of(name)}
            getattr(tweaks, table).clear()
            getattr(tweaks, table).update(found)
        tweaks.volumes.clear()
        tweaks.volumes.update({f.params["symbol"].upper(): float(f.params["usd"]) for f in faults.of("volume_value")})

    def _rules(self) -> None:
        """The limits of the start, with those in force on top."""
        s, rules = self.venue.settings, self.venue.limiter.rules
        rules.limit, rules.ban_after, rules.ban_s, rules.retry_after = (
            s.weight_limit,
            s.ban_after,
            s.ban_s,
            s.retry_after,
        )
        for fault in self.venue.faults.of("limits"):
            for key, value in fault.params.items():
                if value is not None:
                    setattr(rules, key, value)
        self.venue.changed()

    def _book(self, params: dict[str, Any]) -> Book:
        book = self.venue.find(params["symbol"])
        if book is None:
            raise BadFaultError(f"symbol {params['symbol']!r} is not listed")
        return book

    def do_ws_close(self, params: dict[str, Any]) -> int:
        return self.hub.close(params["conn"], params["code"], params["reason"])

    def do_ws_cut(self, params: dict[str, Any]) -> int:
        return self.hub.close(params["conn"], params["code"])

    def do_ws_reset(self, params: dict[str, Any]) -> int:
        return self.hub.reset(params["conn"])

    def do_ws_shutdown_notice(self, params: dict[str, Any]) -> int:
        return self.hub.give_notice(params["conn"], params["close_after_s"], wrapped=params["wrapped"])

    def do_ban(self, params: dict[str, Any]) -> int:
        now_ms = self.venue.now_ms()
        self.venue.limiter.ban(params["ban_s"], now_ms, header=params["retry_after"], text=params["text"])
        return self.venue.limiter.ban_until_ms

    def do_weight_burn(self, params: dict[str, Any]) -> int:
        now_ms = self.venue.now_ms()
        self.venue.limiter.used(now_ms)
        self.venue.limiter.burned += params["weight"]
        return self.venue.limiter.used(now_ms)

    def do_oi_move(self, params: dict[str, Any]) -> str:
        symbol = self._book(params).contract.symbol
        move = Move(params["percent"], self.venue.now_ms(), int(params["over_s"] * 1000))
        self.venue.tweaks.moves.setdefault(symbol, []).append(move)
        return symbol

    def do_delist(self, params: dict[str, Any]) -> str:
        book = self._book(params)
        self.venue.set_status(book, params["status"])
        return book.contract.symbol

    def do_list(self, params: dict[str, Any]) -> list[str]:
        made = [self.venue.list_new(params["symbol"], params["usd_volume"]) for _ in range(params["count"])]
        self.venue.changed()
        return made

    def state(self) -> dict[str, Any]:
        """Everything a test may want to wait for."""
        venue, hub, limiter = self.venue, self.hub, self.venue.limiter
        now_ms, now_s = venue.now_ms(), time.monotonic()
        listed = [b for b in venue.books.values() if b.contract.listed]
        return {
            "now_ms": now_ms,
            "uptime_s": round(now_s - self.started_s, 3),
            "seed": venue.settings.seed,
            "symbols": {"listed": len(listed), "trading": sum(b.contract.trading for b in listed)},
            "faults": [f.told(now_s) for f in venue.faults.all()],
            "requests": dict(venue.requests),
            "statuses": {str(status): number for status, number in venue.statuses.items()},
            "weight": {
                "used": limiter.used(now_ms),
                "own": limiter.own,
                "limit": limiter.rules.limit,
                "answered_429": limiter.count_429,
                "answered_418": limiter.count_418,
                "bans": limiter.bans,
                "banned_until_ms": limiter.ban_until_ms,
                "requests_during_ban": limiter.during_ban,
                "requests_during_ban_late": limiter.during_ban_late,
                "last_ms_into_ban": limiter.last_into_ban_ms,
            },
            "sockets": {
                "open": len(hub.connections),
                "handshakes": hub.handshakes,
                "refused": hub.refused,
                "opened": hub.opened,
                "closed": hub.dropped,
                "frames_sent": dict(hub.sent),
                "connections": [conn.told(index) for index, conn in enumerate(hub.connections)],
            },
            "known_faults": {name: list(spec) for name, spec in SPECS.items()},
        }
