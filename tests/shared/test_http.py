"""One HTTP exchange: bounded in time and size, and every fault of the way is one kind of error."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.redis_server import free_port
from services.oi_poller.transport import SPARE, sweep_client
from shared import http
from shared import reply as replies
from shared.errors import Transient, WireError
from shared.reply import Get, Reply
from tests.builders import NOW_MS
from tests.waiting import eventually

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LONG_S = 30.0  # a deadline that no passing test comes near
LIMIT = 100_000


class Server:
    """Raw TCP on the loopback: each request is handed to ``handle``, which may answer as badly as it likes."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._served: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.origin = ""

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(asyncio.create_task(self._serve(reader, writer)))

    async def hang_up(self) -> None:
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self._handle(reader, writer)


@contextlib.asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[Server]:
    server = Server(handle)
    listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.origin = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await server.hang_up()


def answering(status: str, body: bytes = b"", *headers: str, close: bool = True) -> Handle:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        if close:
            writer.close()

    return handle


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up


Client = httpx.AsyncClient | Get


async def get(
    client: Client,
    origin: str,
    *,
    timeout_s: float = LONG_S,
    max_bytes: int = LIMIT,
    method: str = "GET",
) -> Reply:
    if not isinstance(client, httpx.AsyncClient):
        return await client(f"{origin}/x", {"key": "hunter2"}, timeout_s=timeout_s, max_bytes=max_bytes)
    request = client.build_request(method, f"{origin}/x", headers={"X-API-Key": "hunter2"})
    return await http.send(client, request, timeout_s=timeout_s, max_bytes=max_bytes)


@pytest.fixture(params=["one at a time", "sweeps"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """One connection only: what a failure does not give back, the next request waits for in vain."""
    async with http.client(1) if request.param == "one at a time" else sweep_client(1 - SPARE) as made:
        yield made


async def test_an_answer_is_its_status_headers_and_body(client: httpx.AsyncClient) -> None:
    async with serving(answering("404 Not Found", b"nothing here", "Retry-After: 7")) as server:
        reply = await get(client, server.origin)

    assert (reply.status, reply.body) == (404, b"nothing here")
    assert reply.headers["retry-after"] == "7"


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"{")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("handle", [silence, drip])
async def test_an_answer_that_never_ends_costs_the_deadline_and_no_more(client: Client, handle: Handle) -> None:
    """A hung exchange must cost one symbol a few seconds, not the sweep its evening. Each byte resets a read timeout:
    only a deadline over the whole answer ends one that drips.
    """
    async with serving(handle) as server:
        with pytest.raises(Transient, match="no complete answer within 1 s"):
            await get(client, server.origin, timeout_s=1)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_long_is_cut_off(client: Client, chunked: bool) -> None:
    """A body without end would fill the memory; it is dropped as soon as it is too long, announced or not."""

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000000000"
        writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n" if chunked else b"x" * 1024)
            await writer.drain()

    async with serving(flood) as server:
        with pytest.raises(WireError) as refused:
            await get(client, server.origin)

    assert refused.value.reason == "body_too_long"


@pytest.mark.parametrize(
    ("body", "packed", "whole"),
    [(b"x" * LIMIT, False, True), (b'{"symbols":[]}' * 100, True, True), (bytes(LIMIT * 10), True, False)],
    ids=["of the limit", "exchangeInfo", "bomb"],
)
async def test_the_limit_counts_what_is_unpacked(client: Client, body: bytes, packed: bool, whole: bool) -> None:
    """exchangeInfo is 1.2 MB plain and 51 KB compressed; and a thousandfold of the limit fits a packet."""
    handle = answering("200 OK", gzip.compress(body), "Content-Encoding: gzip") if packed else answering("200 OK", body)
    async with serving(handle) as server:
        if whole:
            assert (await get(client, server.origin)).body == body
        else:
            with pytest.raises(WireError, match="body_too_long"):
                await get(client, server.origin)

    assert b"gzip" in server.requests[0].lower()


async def test_nobody_listening_is_transient(client: httpx.AsyncClient) -> None:
    with pytest.raises(Transient, match=r"^(ConnectionRefused|ClientConnector)Error: .*127\.0\.0\.1:[0-9]+"):
        await get(client, f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
async def test_an_address_without_a_port_is_named_with_the_one_that_was_asked(scheme: str, port: int) -> None:
    """A backend without TLS was named with :443, where nobody had knocked."""
    async with http.client(connections=1) as client:
        with pytest.raises(Transient, match=rf"\(a\.\.b:{port}\)$"):
            await get(client, f"{scheme}://a..b")


async def break_off(writer: asyncio.StreamWriter, said: bytes, *, abort: bool) -> None:
    writer.write(said)
    await writer.drain()
    await asyncio.sleep(0.05)  # so that the client has read what was said before the end comes
    if abort:
        writer.transport.abort()
    writer.close()


LOST = {
    "before": b"",
    "in head": b"HTTP/1.1 200 OK\r\nContent-",
    "after head": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "in body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"symbol"',
    "in chunks": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"symbol"\r\n',
}
NO_HTTP = {
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "status": b"HTTP/1.1 abc OK\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "not gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize(
    ("said", "abort"),
    [*((said, abort) for said in LOST for abort in (False, True)), *((said, False) for said in NO_HTTP)],
)
async def test_what_is_no_whole_answer_is_transient(client: Client, said: str, abort: bool) -> None:
    """Half a body must never be taken for a whole one; a wrong port, a half-dead proxy must look like a bad way there,
    not like a bug of ours.
    """
    text = {**LOST, **NO_HTTP}[said]
    async with serving(lambda _, writer: break_off(writer, text, abort=abort)) as server:
        with pytest.raises(Transient):
            await get(client, server.origin)


async def test_a_failure_gives_its_connection_back(client: httpx.AsyncClient) -> None:
    """With a pool of one, a leak shows at the second request; with 32, on the third day."""
    async with serving(answering("200 OK", b"x" * 2000)) as good, serving(silence) as hung:
        for _ in range(2):
            with pytest.raises(Transient):
                await get(client, hung.origin, timeout_s=0.05)
            with pytest.raises(WireError):
                await get(client, good.origin, max_bytes=1000)

        assert (await get(client, good.origin)).status == 200


async def test_a_redirect_is_not_followed(client: httpx.AsyncClient) -> None:
    """The key would travel to wherever the answer points."""
    async with (
        serving(answering("200 OK")) as elsewhere,
        serving(answering("302 Found", b"", f"Location: {elsewhere.origin}/x")) as server,
    ):
        reply = await get(client, server.origin)

    assert reply.status == 302
    assert elsewhere.requests == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten HTTP_PROXY would see every key, and would share its own address's ban with us."""
    async with serving(answering("502 Bad Gateway")) as proxy, serving(answering("200 OK")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.origin)
        async with http.client(connections=1) as client:
            assert (await get(client, server.origin)).status == 200

    assert proxy.requests == []


@pytest.mark.parametrize("client", ["one at a time"], indirect=True)
async def test_a_lost_post_is_not_sent_again_behind_our_back(client: httpx.AsyncClient) -> None:
    """The backend may have stored it; posting twice stores twice. Whoever posts must look before he posts again."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            await answering("200 OK", b"{}", close=False)(reader, writer)
        else:
            writer.close()  # a connection kept alive, gone after the request was read

    async with serving(answer_once) as server:
        assert (await get(client, server.origin, method="POST")).body == b"{}"
        with pytest.raises(Transient):
            await get(client, server.origin, method="POST")

    assert len(server.requests) == 2


async def test_cancelling_ends_it_at_once(client: httpx.AsyncClient) -> None:
    """SIGTERM must not wait for an exchange that hangs."""
    async with serving(silence) as server:
        asking = asyncio.create_task(get(client, server.origin))
        await eventually(lambda: server.requests)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asking, LONG_S)


@pytest.fixture
def in_new_york() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("Wed, 03 Dec 2025 00:01:40 GMT", 100.0),
        ("Wed, 03 Dec 2025 01:01:40 +0100", 100.0),
        ("Tue, 02 Dec 2025 23:59:00 GMT", 0.0),  # already over
        ("3.7", 3.7),
        ("120, 120", 120.0),
        ("5,120", 120.0),
        ("Wed, 03 Dec 2025 00:01:40", 100.0),  # no zone: UTC, not where this machine stands
        ("Wed, 03 Dec 2025 00:01:40 -0000", 100.0),
        *((odd, None) for odd in ("", "soon", "-5", "120, soon", "١٢", "Wed, 99 Dec 2025 00:01:40 GMT")),
        ("Wed, 03 Dec 2025 00:01:40 +99999999999999", None),
    ],
)
@pytest.mark.usefixtures("in_new_york")
def test_retry_after_is_read_in_both_its_forms(text: str, wait_s: float | None) -> None:
    """Seconds from the exchange, a date from the proxies in front of a backend; wherever this machine stands."""
    headers = httpx.Headers([(b"Retry-After", text.encode())])

    assert replies.retry_after_s(headers, NOW_MS) == wait_s


@given(st.text(max_size=60) | st.from_regex(r"[0-9., ]{0,30}"))
def test_no_text_of_retry_after_breaks_its_reader(text: str) -> None:
    read = replies.retry_after_s({"retry-after": text}, NOW_MS)

    assert read is None or 0 <= read < 1e12


def test_an_excerpt_is_one_short_line() -> None:
    """Bodies from outside are shown in logs and heartbeats."""
    assert replies.excerpt(b"<html>\r\n  <b>no</b>\n") == "<html> <b>no</b>"
    assert replies.excerpt(b"\xff\xfe") == "\ufffd\ufffd"
    assert len(replies.excerpt("币 ".encode() * 1_000_000)) == 160


@pytest.mark.parametrize(
    ("body", "may_be"),
    [(b"{}", True), (b" \r\n[", True), (b"", False), (b"<html>", False), (b"null", False), (b"1", False)],
)
def test_json_is_told_from_a_page_by_its_first_character(body: bytes, may_be: bool) -> None:
    assert replies.json_start(body) is may_be
