"""``/metrics`` and ``/healthz`` where the loop hangs, a client is silent, or looking up names is slow or impossible."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from shared import endpoint
from shared.errors import Refused


@contextlib.asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The port of a service that is well."""
    async with endpoint.serve(CollectorRegistry(), lambda: (True, {"state": "ok"}), host, 0) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize("path", ["healthz", "metrics"])
async def test_a_loop_that_hangs_is_told_of_by_the_thread_beside_it(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Alive and not doing its job is the failure no monitor may miss; and none may hang with it."""
    monkeypatch.setattr(endpoint, "HUNG_S", 0.1)
    told: list[tuple[int, str]] = []

    def ask(port: int) -> None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30)
        except urllib.error.HTTPError as e:
            told.append((e.code, json.load(e)["detail"]))

    async with serving() as port:
        asking = threading.Thread(target=ask, args=(port,))
        asking.start()
        asking.join()  # which is what hangs

    assert told == [(503, "the event loop has not answered for 0.1 s")]


async def test_a_client_that_never_asks_keeps_nobody_waiting() -> None:
    async with serving() as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        async with aiohttp.ClientSession() as session:
            for method, path, status in (("GET", "healthz?x=1", 200), ("HEAD", "healthz", 200), ("GET", "", 404)):
                async with session.request(method, f"http://127.0.0.1:{port}/{path}") as answer:
                    assert answer.status == status
        silent.close()
        await silent.wait_closed()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_nobody_is_asked_for_our_own_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library looks up the name of 0.0.0.0, for ten seconds where the resolver does not answer."""
    for look_up in ("getfqdn", "gethostbyaddr", "getnameinfo"):
        monkeypatch.setattr(socket, look_up, lambda *_: pytest.fail("a reverse look-up"))
    async with (
        serving(host) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        assert (answer.status, await answer.json()) == (200, {"state": "ok"})


@pytest.mark.parametrize("host", ["127..0.0.1", "a..b", "no-such-host.invalid"])
async def test_an_address_that_is_none_is_refused_by_name(host: str) -> None:
    with pytest.raises(Refused, match=f"METRICS_HOST={host} METRICS_PORT=0"):
        async with endpoint.serve(CollectorRegistry(), lambda: (True, {}), host, 0):
            pass
