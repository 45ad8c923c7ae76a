"""``/metrics`` and ``/healthz`` where looking up names is slow or impossible."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from shared import endpoint
from shared.errors import Refused


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_nobody_is_asked_for_our_own_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library looks up the name of 0.0.0.0, for ten seconds where the resolver does not answer."""
    for look_up in ("getfqdn", "gethostbyaddr", "getnameinfo"):
        monkeypatch.setattr(socket, look_up, lambda *_: pytest.fail("a reverse look-up"))
    async with endpoint.serve(CollectorRegistry(), lambda: (True, {"state": "ok"}), host, 0) as address:
        port = address.rpartition(":")[2]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"state": "ok"})


@pytest.mark.parametrize("host", ["127..0.0.1", "a..b", "no-such-host.invalid"])
async def test_an_address_that_is_none_is_refused_by_name(host: str) -> None:
    with pytest.raises(Refused, match=f"METRICS_HOST={host} METRICS_PORT=0"):
        async with endpoint.serve(CollectorRegistry(), lambda: (True, {}), host, 0):
            pass
