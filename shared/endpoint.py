"""``/metrics`` and ``/healthz`` of a service, over the standard library's server.

Two routes do not pay for a web framework in each process: 14 MB and a third of the start-up time. The server has a
thread of its own; what it says is worked out in the service's loop, and when that hangs, ``/healthz`` can say so.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.errors import Refused

HUNG_S = 3.0  # without an answer from the loop
CLIENT_S = 5.0  # that a client may take to ask
LOOK_S = 0.2  # between two looks whether to end
T = TypeVar("T")
Told = Callable[[], tuple[bool, dict[str, Any]]]
Answer = tuple[int, str, bytes]  # status, content type, body


class _Server(ThreadingHTTPServer):
    def server_bind(self) -> None:
        """As the base class does it, without its reverse look-up of our own name: a resolver may not answer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or never asked: nobody's trouble here."""


@asynccontextmanager
async def serve(registry: CollectorRegistry, told: Told, host: str, port: int) -> AsyncIterator[str]:
    """Answer while the block runs; yields the address. ``told``: healthy or not, and what ``/healthz`` says.

    Raises `Refused` where nobody can listen. Must be called from the loop that ``told`` and the metrics belong to.
    """
    loop = asyncio.get_running_loop()

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_S

        def do_GET(self) -> None:
            status, kind, body = _answer(self.path.partition("?")[0], registry, told, loop)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
            """One line a scrape would drown the log."""

    server = await _listen(Handler, host, port)
    threading.Thread(target=server.serve_forever, args=(LOOK_S,), name="endpoint", daemon=True).start()
    try:
        yield f"http://[{host}]:{server.server_port}" if ":" in host else f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def _listen(handler: type[BaseHTTPRequestHandler], host: str, port: int) -> _Server:
    """A name is looked up beside the loop, which goes on hearing signals meanwhile."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        kind: type[_Server] = type("_Server", (_Server,), {"address_family": family})
        return kind((str(address[0]), port), handler)
    except (OSError, UnicodeError) as e:
        why = getattr(e, "strerror", None) or e
        raise Refused(f"METRICS_HOST={host} METRICS_PORT={port}: cannot listen there: {why}") from e


def _answer(path: str, registry: CollectorRegistry, told: Told, loop: asyncio.AbstractEventLoop) -> Answer:
    try:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, _in(loop, lambda: generate_latest(registry))
        if path == "/healthz":
            return _json(*_in(loop, told))
    except TimeoutError:
        detail = f"the event loop has not answered for {HUNG_S:g} s"
        return _json(False, {"state": "stalled", "detail": detail})
    return 404, "text/plain; charset=utf-8", b"/metrics or /healthz\n"


def _json(healthy: bool, body: dict[str, Any]) -> Answer:
    status = 200 if healthy else 503
    return status, "application/json; charset=utf-8", json.dumps(body, ensure_ascii=False).encode()


def _in(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """What belongs to the loop is touched in the loop. Raises `TimeoutError` when it does not get there."""

    async def there() -> T:
        return work()

    return asyncio.run_coroutine_threadsafe(there(), loop).result(HUNG_S)
