"""Who gets which stream, and the beats on which frames are made: once a second, the same bytes for all."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from dev.exchange import rows
from dev.exchange.connection import TEXT, Connection, frame
from dev.exchange.faults import Fault
from dev.exchange.rest import reset
from dev.exchange.values import Quote
from dev.exchange.venue import Venue

MARKS_1S, MARKS_3S, MINI, FULL = (
    "!markPrice@arr@1s",
    "!markPrice@arr",
    "!miniTicker@arr",
    "!ticker@arr",
)
TICKER_PHASE_MS, UPKEEP_PHASE_MS = 307, 511
SINGLES = {"@markPrice@1s": 1000, "@markPrice": 3000}  # suffix -> period, ms


class Hub:
    """The open connections and their streams."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.connections: list[Connection] = []  # oldest first: the index of the control route
        self.topics: dict[str, dict[Connection, None]] = {}
        self.sent: Counter[str] = Counter()
        self.handshakes = self.refused = self.opened = self.dropped = 0
        self._tasks: set[asyncio.Task[bool]] = set()

    def open(self, ws: web.WebSocketResponse, transport: asyncio.Transport, route: str, combined: bool) -> Connection:
        self.opened += 1
        conn = Connection(self.opened, ws, transport, route, combined)
        self.connections.append(conn)
        self.apply_links()
        return conn

    def closed(self, conn: Connection) -> None:
        self.dropped += 1
        self.unsubscribe(conn, list(conn.streams))
        if conn in self.connections:
            self.connections.remove(conn)

    def subscribe(self, conn: Connection, names: list[str]) -> None:
        """Any name is accepted; only names the venue knows, on the routed address, will ever bring a frame."""
        for name in names:
            conn.streams[name] = None
            if conn.market:
                self.topics.setdefault(name, {})[conn] = None
        if names and self.venue.faults.first("ws_ack_mute"):
            conn.deaf = True

    def unsubscribe(self, conn: Connection, names: list[str]) -> None:
        for name in names:
            conn.streams.pop(name, None)
            if conn in (subscribers := self.topics.get(name, {})):
                del subscribers[conn]
                if not subscribers:
                    del self.topics[name]

    def ponged(self, conn: Connection) -> None:
        conn.ponged_s = time.monotonic()

    def chosen(self, conn: int | str) -> list[Connection]:
        """``"all"``, or one by its index: 0 is the oldest open one."""
        if conn == "all":
            return list(self.connections)
        return self.connections[int(conn) : int(conn) + 1] if int(conn) >= 0 else self.connections[int(conn) :][:1]

    def apply_links(self) -> None:
        """Bring the link faults in force to the connections they name; ``"all"`` includes those that come later."""
        faults = self.venue.faults

        def hit(name: str, conn: Connection) -> bool:
            return any(f.params.get("only", conn.number) == conn.number for f in faults.of(name))

        deaf = faults.first("ws_ack_mute") is not None
        for conn in self.connections:
            conn.mute = hit("ws_mute", conn)
            conn.deaf = conn.deaf and deaf
            drips = [f for f in faults.of("ws_drip") if f.params.get("only", conn.number) == conn.number]
            conn.set_drip(drips[0].params["bytes_per_s"] if drips else None)
            conn.set_stalled(hit("ws_stall", conn))

    def close(self, conn: int | str, code: int, reason: str = "") -> int:
        """Begin to close; returns how many."""
        found = self.chosen(conn)
        for one in found:
            self._spawn(one, code, reason)
        return len(found)

    def _spawn(self, conn: Connection, code: int, reason: str) -> None:
        task = asyncio.get_running_loop().create_task(conn.close(code, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def give_notice(self, conn: int | str, after_s: float, *, wrapped: bool) -> int:
        """Announce a close and do it later; returns to how many. ``wrapped`` puts the event under ``event``."""
        event = f'{{"e":"serverShutdown","E":{self.venue.now_ms()}}}'
        found = self.chosen(conn)
        for one in found:
            one.write(frame(TEXT, (f'{{"event":{event}}}' if wrapped else event).encode()))
            asyncio.get_running_loop().call_later(after_s, self._spawn, one, 1001, "")
        return len(found)

    def reset(self, conn: int | str) -> int:
        """End connections with RST; returns how many."""
        found = self.chosen(conn)
        for one in found:
            reset(one.transport)
        return len(found)

    async def run(self) -> None:
        """Beat for ever: crypto marks on whole seconds, TradFi marks and tickers on phases of their own."""
        beats: list[tuple[int, Callable[[int], None]]] = [
            (0, self.crypto),
            (self.venue.settings.tradfi_phase_ms, self.tradfi),
            (TICKER_PHASE_MS, self.tickers),
            (UPKEEP_PHASE_MS, self.upkeep),
        ]
        done_ms, rate = self.venue.now_ms(), self.venue.settings.clock_rate
        while True:
            at_ms, beat = min(((done_ms - phase) // 1000 * 1000 + 1000 + phase, beat) for phase, beat in beats)
            await asyncio.sleep(min(1.0, max(0.0, (at_ms - self.venue.now_ms()) / 1000 / rate)))
            if abs(at_ms - self.venue.now_ms()) > 500 * rate:  # the clock was moved, or the machine slept
                done_ms = self.venue.now_ms()
            else:
                beat(at_ms)
                done_ms = at_ms

    def crypto(self, at_ms: int) -> None:
        self._marks(at_ms, tradfi=False)

    def tradfi(self, at_ms: int) -> None:
        self._marks(at_ms, tradfi=True)

    def _marks(self, at_ms: int, *, tradfi: bool) -> None:
        if not self.topics or self._withheld(tradfi):
            return
        quotes = self._ticking(self.venue.quotes(at_ms, tradfi=tradfi))
        event_ms = at_ms - sum(f.params["ms"] for f in self.venue.faults.of("ws_time_back"))
        third = at_ms // 1000 % 3 == 0
        wanted = [name for name, due in ((MARKS_1S, True), (MARKS_3S, third)) if due and name in self.topics]
        if wanted:
            made = self._spoiled([rows.mark(q, event_ms) for q in quotes])
            payload = self._spoiled_frame(f"[{','.join(made)}]".encode())
            for name in wanted:
                self.publish(name, payload)
        for suffix, every_ms in SINGLES.items():
            if at_ms // 1000 % (every_ms // 1000) == 0 and any(name.endswith(suffix) for name in self.topics):
                self._singles(quotes, suffix, event_ms)

    def _singles(self, quotes: list[Quote], suffix: str, event_ms: int) -> None:
        for q in quotes:
            if (name := q.symbol.lower() + suffix) in self.topics:
                self.publish(name, self._spoiled([rows.mark(q, event_ms)])[0].encode())

    def _withheld(self, tradfi: bool) -> bool:
        return any(f.params["keep"] != ("tradfi" if tradfi else "crypto") for f in self.venue.faults.of("ws_one_frame"))

    def _ticking(self, quotes: list[Quote]) -> list[Quote]:
        """Without the rows a half-mute keeps back."""
        for fault in self.venue.faults.of("ws_half_mute"):
            gone, share = set(fault.params["symbols"]), fault.params["share"]
            quotes = [q for q in quotes if q.symbol not in gone and rows.share_of(q.symbol) >= share]
        return quotes

    def _spoiled(self, made: list[str]) -> list[str]:
        for fault in self.venue.faults.of("ws_rows"):
            made = rows.spoil(made, fault.params["kind"], functools.partial(_spoils, fault))
        return made

    def _spoiled_frame(self, payload: bytes) -> bytes:
        for fault in list(self.venue.faults.of("ws_frames")):
            payload = rows.spoil_frame(payload, fault.params["kind"])
            self.venue.faults.use(fault)
        return payload

    def tickers(self, at_ms: int) -> None:
        """Contracts that traded in the last second, of both markets."""
        makers = [(MINI, rows.mini_ticker), (FULL, rows.ticker)]
        makers = [(name, make) for name, make in makers if name in self.topics]
        if not makers:
            return
        books = self.venue.books.values()
        share = min((f.params["share"] for f in self.venue.faults.of("ws_tickers")), default=1.0)
        traded = (b for b in books if b.contract.trading and b.traded_in(at_ms - 1000, at_ms))
        found = [b for b in traded if rows.share_of(b.contract.symbol) < share]
        days = [(b.contract, self.venue.day(b, at_ms)) for b in found]
        for name, make in makers:
            if days:
                self.publish(name, f"[{','.join(make(c, d, at_ms) for c, d in days)}]".encode())

    def upkeep(self, at_ms: int) -> None:
        """Pings, pongs that never came, connections that have lived their day."""
        s, now_s = self.venue.settings, time.monotonic()
        for conn in list(self.connections):
            if now_s - conn.opened_s >= s.lifetime_s:
                self._spawn(conn, 1001, "")
            elif conn.pinged_s > conn.ponged_s and now_s - conn.ponged_s > s.pong_timeout_s:
                conn.transport.abort()
            elif now_s - conn.pinged_s >= s.ping_s:
                conn.ping(str(self.venue.now_ms()))

    def publish(self, name: str, payload: bytes) -> None:
        """One payload to all who have the stream, wrapped or bare as each asked."""
        subscribers = self.topics.get(name)
        if not subscribers:
            return
        made: dict[bool, bytes] = {}
        for conn in list(subscribers):
            if conn.combined not in made:
                whole = b'{"stream":"' + name.encode() + b'","data":' + payload + b"}" if conn.combined else payload
                made[conn.combined] = frame(TEXT, whole)
            if conn.deliver(made[conn.combined]):
                self.sent[name if name.startswith("!") else name[name.index("@") :]] += 1


def _spoils(fault: Fault, symbol: str) -> bool:
    """Is this row one the fault spoils?"""
    return fault.wants(symbol) and rows.share_of(symbol) < fault.params["share"]
