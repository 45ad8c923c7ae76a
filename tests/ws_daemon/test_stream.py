"""The connections over loopback sockets: what ends one, what replaces it, and that no second is missed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from services.ws_daemon.coverage import Coverage
from services.ws_daemon.feed import Feed
from services.ws_daemon.latest import Merged
from services.ws_daemon.metrics import Metrics
from services.ws_daemon.settings import Settings
from services.ws_daemon.slot import FIRST_WAIT_S, Slot
from services.ws_daemon.stream import Watch, follow
from shared.clock import SystemClock
from shared.settings import load
from shared.venues.binance.stream import STREAMS, open_stream
from tests.fakes import service
from tests.shared.venues.binance.rows import frame, mark_row, mini_row
from tests.waiting import eventually

IDLE_S = 0.8
PATIENT = {"BINANCE_WS_IDLE_SEC": "20"}  # where no connection may fall silent, however busy the machine is
SYMBOLS = [f"S{n:02}USDT" for n in range(40)]
Behave = Callable[[ServerConnection, int], Awaitable[None]]


def now_frame(symbols: list[str] = SYMBOLS) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return frame(*(mark_row(s, event_ms=now_ms) for s in symbols))


async def tick(ws: ServerConnection, symbols: list[str] = SYMBOLS, for_s: float = 60.0) -> None:
    """Send a frame every 20 ms: the exchange's second, scaled down."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        await ws.send(now_frame(symbols).decode())
        await asyncio.sleep(0.02)


@asynccontextmanager
async def exchange(
    behave: Behave, refuse: int = 0, after: int = 0
) -> AsyncIterator[tuple[str, list[ServerConnection]]]:
    """A scripted stream server: ``behave`` gets each connection and its number, from 0; those ``after`` are refused."""
    connections: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        connections.append(ws)
        with contextlib.suppress(Exception):
            await behave(ws, len(connections) - 1)

    def process(ws: ServerConnection, request: Request) -> Response | None:
        assert request.path == STREAMS
        return ws.respond(refuse, "no\n") if refuse and len(connections) >= after else None

    async with serve(handler, "127.0.0.1", 0, process_request=process, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}", connections


@asynccontextmanager
async def feed(url: str, connections: int = 1, **changes: str) -> AsyncIterator[Feed]:
    environ = {"BINANCE_WS_URL": url, "BINANCE_WS_CONNECTIONS": str(connections), "BINANCE_WS_IDLE_SEC": str(IDLE_S)}
    settings = load(Settings, environ | changes)
    feeding = Feed(settings, service(SystemClock()), Metrics(CollectorRegistry()))
    keepers = [asyncio.create_task(Slot(feeding, n + 1, settings).keep()) for n in range(connections)]
    try:
        yield feeding
    finally:
        for keeper in keepers:
            keeper.cancel()
        for outcome in await asyncio.gather(*keepers, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome


def endings(feeding: Feed, why: str) -> float:
    return feeding._metrics.endings.labels(why)._value.get()


async def mute(ws: ServerConnection) -> None:
    """It connects, acknowledges and answers pings."""
    await ws.send('{"result":null,"id":1}')


async def tickers_alone(ws: ServerConnection) -> None:
    """Half of a feed looks lively; without marks it is worth nothing."""
    while True:
        await ws.send(frame(mini_row(), stream="!miniTicker@arr").decode())
        await asyncio.sleep(0.02)


async def falls_silent(ws: ServerConnection) -> None:
    await tick(ws, for_s=0.1)


@pytest.mark.parametrize(("first", "why"), [(mute, "mute"), (tickers_alone, "mute"), (falls_silent, "idle")])
async def test_a_mute_connection_is_ended_and_replaced(
    first: Callable[[ServerConnection], Awaitable[None]], why: str
) -> None:
    """Only mark frames prove a connection."""

    async def behave(ws: ServerConnection, number: int) -> None:
        if number == 0:
            await first(ws)
            await ws.wait_closed()
        await tick(ws)

    async with exchange(behave) as (url, connections), feed(url) as feeding:
        await eventually(lambda: endings(feeding, why) == 1)
        await eventually(lambda: len(connections) == 2 and feeding.live_connections == 1)
        assert len(feeding.latest.marks) == len(SYMBOLS)


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([mark_row("BTCUSDT", "1e5"), mark_row("ETHUSDT", "")], "bad_mark: BTCUSDT"),
        ([mark_row("BTCUSDT"), mark_row("ETHUSDT")], " s behind"),
    ],
    ids=["new-form", "stands-still"],
)
async def test_marks_that_cannot_be_used_are_not_taken_for_silence(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], cause: str
) -> None:
    """Every row refused is the exchange's new form, a fault of ours, or a stuck edge, and no retired address."""
    monkeypatch.setattr("services.ws_daemon.latest.LATE_MS", 200)
    monkeypatch.setattr("services.ws_daemon.feed.AGAIN_S", 0.1)

    async def behave(ws: ServerConnection, number: int) -> None:
        while True:
            await ws.send(frame(*rows).decode())
            await asyncio.sleep(0.02)

    async with exchange(behave) as (url, _):
        feeding = Feed(load(Settings, {}), service(SystemClock()), Metrics(CollectorRegistry()))
        ending = await follow(url, partial(feeding.take_stream, "stream-1"), Coverage(), Watch(), IDLE_S)

    assert ending.why == "refused_rows"
    assert "not one mark of" in ending.detail
    assert cause in ending.detail
    assert "retired" not in ending.detail


async def test_pings_are_answered_and_none_is_sent() -> None:
    """A client that waited for the pongs of its own pings was cut off every minute, one that gives none after ten."""
    pongs: list[float] = []

    async def behave(ws: ServerConnection, number: int) -> None:
        pongs.append(await (await ws.ping(b"1764720000000")))

    async with exchange(behave) as (url, _), await open_stream(url) as ws:
        await eventually(lambda: pongs)  # with the same payload: websockets takes no other
        assert ws.ping_interval is None


async def test_a_half_mute_connection_is_ended_and_the_same_smaller_set_accepted() -> None:
    """No reconnect loop when the exchange really delists many: the second look at the same set is believed."""

    async def behave(ws: ServerConnection, number: int) -> None:
        if number == 0:
            await tick(ws, for_s=2 * IDLE_S)
        await tick(ws, SYMBOLS[:20])

    async with exchange(behave) as (url, connections), feed(url) as feeding:
        await eventually(lambda: endings(feeding, "coverage") == 1)
        await eventually(lambda: feeding.coverages[0].normal == set(SYMBOLS[:20]))
        assert len(connections) == 2


@pytest.mark.parametrize("frames", [0, 1])
async def test_a_server_that_accepts_and_drops_is_not_stormed(frames: int) -> None:
    """Neither a handshake nor a frame resets the back-off: the exchange bans who opens too many connections."""

    async def behave(ws: ServerConnection, number: int) -> None:
        for _ in range(frames):
            await ws.send(now_frame().decode())
        await ws.close(1008, "Invalid request")

    async with exchange(behave) as (url, _), feed(url) as feeding:
        begun_s = time.monotonic()
        await eventually(lambda: endings(feeding, "closed") >= 4)
        assert time.monotonic() - begun_s >= FIRST_WAIT_S * (1 + 2 + 4) / 2  # at the least, with jitter


async def test_a_connection_that_lasted_is_replaced_at_once_when_it_ends() -> None:
    async def behave(ws: ServerConnection, number: int) -> None:
        await tick(ws, for_s=0 if number < 3 else 2 * IDLE_S)

    async with exchange(behave) as (url, _), feed(url) as feeding:
        await eventually(lambda: endings(feeding, "closed") == 4)
        begun_s = time.monotonic()
        await eventually(lambda: feeding.live_connections == 1)
        assert time.monotonic() - begun_s < FIRST_WAIT_S * 4  # half of the wait that would be next


async def test_a_successor_that_is_refused_is_not_asked_for_again_and_again() -> None:
    """The old connection's frames say nothing of the next: its handshake was tried five times a second."""

    async def behave(ws: ServerConnection, number: int) -> None:
        await tick(ws)

    async with (
        exchange(behave, refuse=429, after=1) as (url, _),
        feed(url, BINANCE_WS_LIFETIME_SEC="1", **PATIENT) as feeding,
    ):
        await eventually(lambda: endings(feeding, "refused") >= 1)
        begun_s = time.monotonic()
        await eventually(lambda: endings(feeding, "refused") >= 4)
        assert time.monotonic() - begun_s >= 0.95 * FIRST_WAIT_S * (1 + 2 + 4) / 2
        assert feeding.live_connections == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", "refused"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://a..b/\r\n\r\n", "refused"),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", "refused"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "unreachable"),
        (b"HTTP/1.1 999\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 503 \r\n" + b"X: y\r\n" * 300 + b"\r\n", "unreachable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable"),
        (b"\xff\xfe\x00 \r\n\r\n", "unreachable"),
        (b"x" * 100_000, "unreachable"),
        (b"", "unreachable"),
    ],
    ids=lambda given: repr(given[:24]),
)
async def test_nothing_a_handshake_answers_raises(answer: bytes, why: str) -> None:
    """A redirect with a broken Location ended the service; none is followed, and each ending is named.

    websockets' own reconnecting iterator ends for ever on 403 and 429.
    """

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(behave, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ending = await follow(url, lambda _: Merged(), Coverage(), Watch(), IDLE_S)

    assert (ending.why, len(ending.detail) < 400) == (why, True)


async def test_a_connection_near_its_end_is_replaced_before_it_is_closed() -> None:
    """With one connection, too: the next one delivers before the old one goes, so no tick is missed."""
    alive: set[int] = set()
    least_alive = 1
    overlapped = 0

    async def behave(ws: ServerConnection, number: int) -> None:
        nonlocal least_alive, overlapped
        alive.add(number)
        overlapped += len(alive) == 2
        try:
            await tick(ws)
        finally:
            alive.discard(number)
            least_alive = min(least_alive, len(alive)) if number < 2 else least_alive

    async with exchange(behave) as (url, connections), feed(url, BINANCE_WS_LIFETIME_SEC="1", **PATIENT) as feeding:
        await eventually(lambda: len(connections) >= 3 and overlapped >= 2)
        assert endings(feeding, "closed") + endings(feeding, "idle") == 0
        assert least_alive == 1


def test_volumes_that_stop_ask_for_a_replacement_in_their_time() -> None:
    watch = Watch(volumes_within_s=60)
    for second in range(161):
        watch.heard(Merged(volumes=int(second <= 100)), float(second))
        assert not watch.outlived.is_set()
    watch.heard(Merged(), 161.0)

    assert watch.outlived.is_set()
    assert watch.why == "no volumes for 60 s, though it serves"


@pytest.mark.parametrize("why", ["shutdown", "no volumes"])
async def test_a_connection_that_has_to_go_serves_until_the_next_does(
    monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Its end was announced, or half of it is silent, which may flow on the next connection: no mark is missed."""

    async def behave(ws: ServerConnection, number: int) -> None:
        await ws.send(now_frame().decode())
        if number == 0 and why == "shutdown":
            await ws.send('{"e":"serverShutdown","E":1764720000000}')
        while True:
            await ws.send(now_frame().decode())
            if number > 0:
                await ws.send(frame(mini_row(), stream="!miniTicker@arr").decode())
            await asyncio.sleep(0.02)

    if why == "no volumes":
        monkeypatch.setattr("services.ws_daemon.feed.VOLUMES_IDLE", 0.02)
    async with exchange(behave) as (url, connections), feed(url, **PATIENT) as feeding:
        await eventually(lambda: len(connections) == 2 and feeding.live_connections == 1)
        assert sum(endings(feeding, ending) for ending in ("closed", "idle", "mute", "coverage")) == 0


async def test_a_bad_frame_does_not_end_the_connection() -> None:
    async def behave(ws: ServerConnection, number: int) -> None:
        for bad in ("", "{", '{"data":7}', '{"data":[{"e":"newEvent","E":1}]}', "x" * 3_000_000):
            await ws.send(bad)
        await tick(ws)

    async with exchange(behave) as (url, connections), feed(url, **PATIENT) as feeding:
        await eventually(lambda: len(feeding.latest.marks) == len(SYMBOLS))
        assert len(connections) == 1
        assert feeding._metrics.bad_rows.labels("stream-1", "unknown_event")._value.get() == 1


async def test_of_two_connections_either_may_die() -> None:
    """The other one carries on: nothing is missed while the slot is filled again."""

    async def behave(ws: ServerConnection, number: int) -> None:
        await tick(ws, for_s=0.3 if number == 0 else 60)

    async with exchange(behave) as (url, connections), feed(url, connections=2, **PATIENT) as feeding:
        await eventually(lambda: feeding.live_connections == 2)
        live: list[int] = []

        def filled_again() -> bool:
            live.append(feeding.live_connections)
            return len(connections) == 3 and feeding.live_connections == 2

        await eventually(filled_again, every_s=0.001)

    assert min(live) == 1


async def test_the_same_bytes_from_the_other_connection_are_counted_and_not_read_again() -> None:
    """Each second comes twice; the second of two connections still proves itself by it, at a tenth of the cost."""
    registry = CollectorRegistry()
    feeding = Feed(load(Settings, {}), service(SystemClock()), Metrics(registry))
    blob = frame(mark_row("BTCUSDT"), mark_row("ETHUSDT"), mark_row("BADUSDT", "NaN"))

    first = feeding.take_stream("stream-1", blob)
    feeding.fresh.clear()
    second = feeding.take_stream("stream-2", blob)

    assert (first.new, second.new, second.repeated) == (2, 0, 2)
    assert second.marks == first.marks == {"BTCUSDT", "ETHUSDT"}
    assert not feeding.fresh.is_set()

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert counted("pipeline_frames_total", source="stream-2") == 1
    assert counted("pipeline_mark_rows_total", outcome="repeated") == 2
    assert counted("pipeline_bad_rows_total", source="stream-1", reason="bad_mark") == 1
    assert counted("pipeline_bad_rows_total", source="stream-2", reason="bad_mark") is None
