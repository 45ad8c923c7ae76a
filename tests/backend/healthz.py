"""Services that say how they are, for the strip of the page: /healthz of any number of names on one port."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAMES = ("ws_daemon", "oi_poller", "publisher", "oi_alerter")


def report(state: str = "ok", detail: str = "all well", **more: Any) -> dict[str, Any]:
    """A body of /healthz as `shared.health` and `shared.runner` make it."""
    stamp = "2025-12-03T12:03:04.000Z"
    return {"service": "any", "state": state, "since": stamp, "lastSuccess": stamp, "detail": detail} | more


class Services:
    """``bodies``: name -> what it answers, as JSON or raw bytes; `None` hangs up without a word."""

    def __init__(self) -> None:
        self.bodies: dict[str, Any] = {name: report() for name in NAMES}
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = services.bodies.get(self.path.split("/")[1])
                if body is None:
                    return
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(200 if b'"ok"' in data else 503)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Nothing: the test's output is its own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def setting(self) -> str:
        return ",".join(f"{name}={self.origin}/{name}/healthz" for name in NAMES)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
