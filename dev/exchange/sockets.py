"""WebSocket routes and methods: handshake, SUBSCRIBE and its kin, pings, limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from dev.exchange import answers
from dev.exchange.connection import CLOSE, PONG, TEXT, Connection, frame
from dev.exchange.hub import Hub

MOST_STREAMS = 1024
ROUTES = ("market", "public", "private")
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class MethodError(Exception):
    """An error body: 2 for an invalid request, 3 for invalid JSON, 4 for too many streams."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Sockets:
    """The handshakes and the methods of every connection."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def add_to(self, app: web.Application) -> None:
        for route in ROUTES:
            self._add(app, f"/{route}", route)
        self._add(app, "", "legacy")

    def _add(self, app: web.Application, prefix: str, route: str) -> None:
        async def raw(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, route, False, request.match_info.get("streams", "").split("/"))

        async def wrapped(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, route, True, request.query.get("streams", "").split("/"))

        app.router.add_get(f"{prefix}/ws", raw)
        app.router.add_get(f"{prefix}/ws/{{streams:.*}}", raw)
        app.router.add_get(f"{prefix}/stream", wrapped)

    async def _serve(self, request: web.Request, route: str, combined: bool, names: list[str]) -> web.StreamResponse:
        hub = self.hub
        hub.handshakes += 1
        if (refusal := hub.venue.faults.first("ws_refuse")) is not None:
            hub.refused += 1
            return refuse(refusal.params["status"])
        ws = web.WebSocketResponse(autoping=False, compress=False, timeout=1.0, max_msg_size=1 << 20)
        await ws.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return ws
        conn = hub.open(ws, transport, route, combined)
        try:
            await self._start(conn, [name for name in names if name])
            await self._listen(conn)
        finally:
            hub.closed(conn)
        return ws

    async def _start(self, conn: Connection, names: list[str]) -> None:
        if len(names) > MOST_STREAMS:
            await self._overflow(conn)
        else:
            self.hub.subscribe(conn, names)

    async def _listen(self, conn: Connection) -> None:
        async for message in conn.ws:
            if conn.too_busy():
                await conn.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
            elif message.type is WSMsgType.PING:
                conn.write(frame(PONG, message.data))
            elif message.type is WSMsgType.PONG:
                self.hub.ponged(conn)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._method(conn, message.data)

    async def _method(self, conn: Connection, data: str | bytes) -> None:
        number: Any = None
        try:
            asked = parse(data)
            number = asked.get("id")
            reply = {"result": self._do(conn, asked), "id": number}
        except MethodError as e:
            if e.code == 4:
                await self._overflow(conn)
                return
            reply = {"error": {"code": e.code, "msg": e.message}}
            if isinstance(number, int | str):
                reply["id"] = number
        say(conn, reply)

    def _do(self, conn: Connection, asked: dict[str, Any]) -> Any:
        method, params = asked["method"], asked.get("params", [])
        if method == "LIST_SUBSCRIPTIONS":
            return list(conn.streams)
        if method == "GET_PROPERTY":
            return conn.combined
        if method == "SET_PROPERTY":
            if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):
                raise MethodError(2, "Invalid request: property name must be 'combined' and its value a boolean")
            conn.combined = params[1]
            return None
        if not all(isinstance(name, str) for name in params) or not params:
            raise MethodError(2, "Invalid request: params must be a non-empty array of stream names")
        if method == "UNSUBSCRIBE":
            self.hub.unsubscribe(conn, params)
        elif len(conn.streams.keys() | set(params)) > MOST_STREAMS:
            raise MethodError(4, "Too many subscriptions")
        else:
            self.hub.subscribe(conn, params)
        return None

    async def _overflow(self, conn: Connection) -> None:
        say(conn, {"error": {"code": 4, "msg": "Too many subscriptions"}})
        await conn.close(WSCloseCode.POLICY_VIOLATION, "Invalid request")


def parse(data: str | bytes) -> dict[str, Any]:
    """A method call; raise `MethodError` for anything else."""
    try:
        asked = json.loads(data)
    except ValueError as e:
        raise MethodError(3, f"Invalid JSON: {e}") from e
    if not isinstance(asked, dict) or asked.get("method") not in METHODS:
        raise MethodError(2, f"Invalid request: method must be one of {', '.join(METHODS)}")
    number = asked.get("id")
    if not (isinstance(number, str) or (type(number) is int and number >= 0)):  # the official SDK sends texts
        raise MethodError(2, "Invalid request: request ID must be an unsigned integer")
    if not isinstance(asked.get("params", []), list):
        raise MethodError(2, "Invalid request: params must be an array")
    return asked


def say(conn: Connection, reply: dict[str, Any]) -> None:
    """An acknowledgement; it comes even where no data does."""
    conn.write(frame(TEXT, json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode()))


def refuse(status: int) -> web.Response:
    """A handshake answered with a plain HTTP status."""
    if status == 403:
        return web.Response(status=403, body=answers.cloudfront("Request blocked."), content_type=answers.HTML)
    headers = {"Retry-After": "30"} if status in (418, 429) else {}
    return web.Response(status=status, text=f"{status} refused", headers=headers)


async def close_all(hub: Hub) -> None:
    """Goodbye to everyone at the end of the process, without waiting for answers."""
    for conn in list(hub.connections):
        conn.set_stalled(False)
        with contextlib.suppress(RuntimeError):
            conn.write(frame(CLOSE, int(WSCloseCode.GOING_AWAY).to_bytes(2, "big")))
        conn.transport.close()
