"""The HTTP edge: what travels, what is bounded, and what a fault of the way means."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import httpx
import pytest

from services.publisher import backend as backend_module
from services.publisher.backend import Backend
from services.publisher.join import Record
from services.publisher.wire import Away, InDoubt, TooLarge
from shared.clock import SystemClock
from shared.errors import RateLimited, Refused, WireError
from tests.builders import NOW_MS
from tests.publisher.loopback import Answer, Loopback, hang, reset

INGEST = "/api/market/open-interest/ingest"
READ = "/api/market/open-interest"
ROWS = [Record("BTCUSDT", 2.0, 200.0, 100.0, None)]


async def ingest(backend: Backend) -> None:
    await backend.ingest(ROWS, NOW_MS, 1)


async def test_a_batch_arrives_with_the_key_and_is_served(backend: Backend, loopback: Loopback) -> None:
    loopback.answer("POST", INGEST, 200, b'{"success": true, "inserted": 1}')
    loopback.answer("GET", READ, 200, b'{"data": {"BTCUSDT": 200.0}, "asOf": 17}')

    accepted = await backend.ingest(ROWS, NOW_MS, 1)
    snapshot = await backend.read_served()

    assert (accepted.stored, accepted.refused) == (1, 0)
    assert (snapshot.values, snapshot.as_of_ms) == ({"BTCUSDT": 200.0}, 17)
    assert [body["source"] for body in loopback.posts(INGEST)] == ["realtime"]
    post, get = loopback.requests
    assert post.headers["X-API-Key"] == "the-key"
    assert post.headers["Content-Type"] == "application/json"
    assert "X-API-Key" not in get.headers  # a public route needs no key
    assert get.headers["Cache-Control"] == "no-cache"  # what a cache held before the POST proves nothing


async def test_a_redirect_is_not_followed_with_the_key(backend: Backend, loopback: Loopback) -> None:
    """A mistyped address that redirects elsewhere must not carry the key there."""
    loopback.answer("POST", INGEST, 307, b"", Location=f"{loopback.url}/elsewhere")

    with pytest.raises(Refused, match="BACKEND_URL"):
        await ingest(backend)

    assert [request.path for request in loopback.requests] == [INGEST]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b'{"error": "Unauthorized"}', Refused),
        (413, b"<html>", TooLarge),
        (200, b"<html>sign in</html>", InDoubt),
        (200, b'{"success": tru', InDoubt),
        (200, b"{" + b" " * (backend_module.REPLY_LIMIT + 1), InDoubt),
    ],
)
async def test_a_bad_answer_is_one_typed_error(
    backend: Backend, loopback: Loopback, status: int, body: bytes, error: type[Exception]
) -> None:
    loopback.answer("POST", INGEST, status, body)

    with pytest.raises(error) as caught:
        await ingest(backend)

    assert type(caught.value) is error
    assert "the-key" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("trouble", "timeout_s"), [(hang, 0.1), (reset, 30)])
async def test_a_silence_after_sending_leaves_the_outcome_open(
    loopback: Loopback, client: httpx.AsyncClient, trouble: Answer, timeout_s: float
) -> None:
    """The backend may have stored the rows: whoever posts again without looking stores them twice."""
    loopback.answers["POST", INGEST] = trouble

    with pytest.raises(InDoubt) as caught:
        await ingest(Backend(loopback.url, "the-key", client, SystemClock(), timeout_s))

    assert caught.value.timed_out is (trouble is hang)
    assert not caught.value.answered


@pytest.fixture
def unanswered() -> Iterator[str]:
    """Where nobody accepts: what is sent to connect is dropped, as by a firewall, or by a host without power."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("silent", [False, True])
async def test_a_connection_that_never_came_about_carried_nothing(
    client: httpx.AsyncClient, unanswered: str, silent: bool
) -> None:
    """An alert that was never sent is not in doubt: where nobody can look for it, it would not be sent again."""
    url = unanswered if silent else "http://127.0.0.1:1"

    with pytest.raises(Away, match="no connection to 127.0.0.1" if silent else "refused|Connect") as caught:
        await ingest(Backend(url, "the-key", client, SystemClock(), 1.0))

    assert type(caught.value) is Away
    assert not caught.value.answered


async def test_a_429_silences_every_request_until_its_time_is_over(backend: Backend, loopback: Loopback) -> None:
    loopback.answer("POST", INGEST, 429, b"{}", **{"Retry-After": "60"})

    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await ingest(backend)
        assert 30 < (caught.value.retry_after_s or 0) <= 60  # on a busy machine seconds go by
    with pytest.raises(RateLimited):
        await backend.read_served()

    assert len(loopback.requests) == 1


async def test_an_endless_answer_is_cut_off(backend: Backend, loopback: Loopback) -> None:
    loopback.answer("GET", READ, 200, b'{"data": {}, "padding": "' + b"x" * backend_module.REPLY_LIMIT + b'"}')

    with pytest.raises(WireError, match="body_too_long"):
        await backend.read_served()
