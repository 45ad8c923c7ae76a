"""The universe at a backend that is slow, that another writes to too, and that deletes whoever is not listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from services.publisher.backend import Backend
from services.publisher.universe import UniverseDelivery
from services.publisher.wire import Away, InDoubt
from shared.errors import RateLimited, Refused
from shared.model import Member
from shared.store import STATUS, UNIVERSE, round_trip
from tests.builders import NOW_MS
from tests.fakes import FakeClock
from tests.publisher.deliveries import Bench
from tests.publisher.loopback import Loopback, reset

READ = "/api/market/open-interest/liquid-universe"
UPDATE = f"{READ}/update"
LOOK_S, HOLD_S, SEND_S = 20.0, 180.0, 300.0
FORTY = [f"S{n:02}USDT" for n in range(40)]
FEW = FORTY[:4]  # where their number does not matter


class Universe:
    """What the poller left in Redis, its delivery, and the backend's table."""

    def __init__(self, redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient, **env: str):
        self.redis = redis
        self.clock = clock
        self.loopback = loopback
        self.bench = Bench(redis, clock, loopback.url, **env)
        self.backend = Backend(loopback.url, "the-key", client, clock, 30)
        self.table: dict[str, str] = {}
        loopback.answers["POST", UPDATE] = self.update
        loopback.answers["GET", READ] = self.read
        self.restart()

    def restart(self) -> None:
        self.delivery = UniverseDelivery(backend=self.backend, **self.bench.given())

    async def update(self, _: web.Request) -> web.StreamResponse:
        self.table = {row["symbol"]: row["lastSeenAt"] for row in self.loopback.bodies[-1]["symbols"]}
        return web.json_response({"success": True})

    async def read(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"symbols": [{"symbol": s, "lastSeenAt": at} for s, at in self.table.items()]})

    async def has(self, symbols: Sequence[str]) -> None:
        """The poller's universe is these."""
        members = {s: Member(s, Decimal(5_000_000), NOW_MS, self.clock.now_ms(), 0) for s in symbols}
        async with round_trip(self.redis) as pipe:
            pipe.delete(UNIVERSE.key)
            UNIVERSE.put(pipe, members)

    async def run(self, seconds: float) -> None:
        """The loop for so long, with its own waits; a failure waits ten seconds."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            try:
                self.clock.advance(await self.delivery.look())
            except (InDoubt, Away, Refused):
                self.clock.advance(10)

    def posts(self) -> int:
        return len(self.loopback.posts(UPDATE))

    def looks(self) -> int:
        return sum(request.method == "GET" for request in self.loopback.requests)

    def differing(self, reason: str) -> float:
        return self.bench.count("pipeline_universe_differing_symbols", reason=reason)

    @property
    def facts(self) -> dict[str, str]:
        return self.bench.service.facts

    def outcomes(self) -> dict[str, int]:
        return self.bench.outcomes("universe")


Make = Callable[..., Universe]


@pytest.fixture
def make(redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient) -> Make:
    return lambda **env: Universe(redis, clock, loopback, client, **env)


async def delivered(make: Make, symbols: Sequence[str] = FORTY, **env: str) -> Universe:
    """Forty symbols are served, and have been for a while."""
    one = make(**env)
    await one.has(symbols)
    await one.run(60)
    assert sorted(one.table) == sorted(symbols)
    return one


async def test_an_empty_universe_is_never_sent(make: Make) -> None:
    one = make()
    await one.run(400)
    assert one.loopback.requests == []


async def test_it_is_sent_once_looked_at_now_and_then_and_refreshed_every_five_minutes(make: Make) -> None:
    one = await delivered(make)
    assert (one.posts(), one.facts["universeVerdict"], one.facts["universeDelivered"]) == (1, "VERIFIED", "40")

    await one.run(SEND_S)

    assert one.posts() == 2
    assert 12 <= one.looks() <= 24
    assert one.outcomes() == {"delivered": 2}


async def test_what_is_served_already_at_a_start_is_not_sent_again(make: Make) -> None:
    one = await delivered(make, FEW)
    one.restart()
    await one.run(60)
    assert one.posts() == 1


async def test_a_symbol_that_enters_or_leaves_is_there_within_the_minute(make: Make) -> None:
    one = await delivered(make)

    await one.has([*FORTY[1:], "NEWUSDT", "BTCUSDT_260327"])
    await one.run(60)

    assert {"NEWUSDT", "BTCUSDT_260327"} <= one.table.keys()
    assert "S00USDT" not in one.table
    entry = next(row for row in one.loopback.posts(UPDATE)[-1]["symbols"] if row["symbol"] == "NEWUSDT")
    assert (entry["quoteVolume24h"], entry["enteredAt"]) == (5_000_000, "2025-12-03T00:00:00.000Z")


@pytest.mark.parametrize("restart", [False, True])
async def test_a_universe_that_shrinks_at_once_is_held_back_and_named(make: Make, restart: bool) -> None:
    """A Redis that was emptied holds part of it for a while; the rows it would delete have their history with them."""
    one = await delivered(make)
    if restart:
        one.restart()

    await one.has(FORTY[:35])
    await one.run(HOLD_S - 10)

    assert (len(one.table), one.facts["universeVerdict"]) == (40, "HELD_BACK")
    assert "from 40 to 35" in one.facts["universeWhy"]
    assert "S35USDT" in one.facts["universeWhy"]
    assert one.differing("held_back") == 5

    await one.run(30)
    assert (len(one.table), one.facts["universeVerdict"], one.differing("held_back")) == (35, "VERIFIED", 0)


@pytest.mark.parametrize(
    "course",
    [
        [(10, 30, 40), (20, 30, 40), (37, 30, 37), (30, HOLD_S - 30, 37)],
        [(10, 30, 40), (40, HOLD_S, 40), (30, 20, 40)],
    ],
    ids=["nearly whole", "whole"],
)
async def test_a_shrunk_universe_that_fills_again_is_held_back_anew(
    make: Make, course: list[tuple[int, float, int]]
) -> None:
    """Its size, for how long, and what is served by then: the time is counted from when it shrank last."""
    one = await delivered(make)
    for size, seconds, served in course:
        await one.has(FORTY[:size])
        await one.run(seconds)
        assert len(one.table) == served

    assert one.facts["universeVerdict"] == "HELD_BACK"


async def test_what_the_exchange_no_longer_lists_leaves_at_once(make: Make) -> None:
    one = await delivered(make)
    await one.redis.hset(STATUS + "oi_poller", "delisted", ",".join(FORTY[30:]))

    await one.has(FORTY[:30])
    await one.run(60)

    assert len(one.table) == 30


async def test_another_writer_is_named_and_ours_is_put_back(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The old installation has a timer that writes the universe every five minutes."""
    one = await delivered(make)
    assert "universeForeignAt" not in one.facts

    one.table = {"OLDUSDT": "x"}
    await one.run(4)
    one.clock.advance(LOOK_S)
    seen = []
    for _ in range(10):
        await one.run(2)
        seen.append((one.facts["universeVerdict"], one.differing("foreign")))

    assert ("FOREIGN", 41.0) in seen
    assert seen[-1] == ("VERIFIED", 0)
    assert one.facts["universeForeignAt"] > "2025-12-03T00:01"
    assert len(one.table) == 40
    assert one.outcomes() == {"delivered": 1, "restored": 1}
    assert [event for event in caplog.messages if event.startswith("universe ")] == ["universe FOREIGN"]
    ended = one.bench.said.ended.count
    assert ended("universe HELD_BACK") > ended("universe FOREIGN") > 0


async def test_a_writer_that_comes_now_and_then_is_answered_soon_each_time(make: Make) -> None:
    one = await delivered(make, FEW)
    for _ in range(5):
        one.table = {"OLDUSDT": "x"}
        await one.run(60)

    assert one.outcomes() == {"delivered": 1, "restored": 5}


async def test_one_found_behind_an_unclear_answer_is_told_from_one_restored(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = await delivered(make)
    one.table = {"OLDUSDT": "x"}
    await one.run(60)

    async def taken(request: web.Request) -> web.StreamResponse:
        await one.update(request)
        return web.Response(status=502)

    one.loopback.answers["POST", UPDATE] = taken
    await one.has([*FORTY, "NEWUSDT"])
    await one.run(60)

    assert one.outcomes() == {"delivered": 1, "restored": 1, "found": 1}
    assert caplog.messages.count("universe delivered") == 3


async def test_a_writer_that_never_rests_is_not_fought_with_every_look(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Each update is two queries a symbol: a war would cost the backend more than the wrong universe does."""
    one = await delivered(make, FEW)

    async def lost(_: web.Request) -> web.StreamResponse:
        return web.json_response({"success": True})

    one.table = {"OLDUSDT": "x"}
    one.loopback.answers["POST", UPDATE] = lost
    await one.run(1800)

    assert 5 <= one.posts() <= 15
    assert one.facts["universeVerdict"] == "FOREIGN"
    assert "universe accepted, and not served" in caplog.messages


async def test_a_cache_before_the_backend_is_no_reason_to_send_it_again(make: Make) -> None:
    one = await delivered(make)
    old = await one.read(None)  # type: ignore[arg-type]
    one.loopback.answer("GET", READ, 200, old.body)  # type: ignore[attr-defined]

    await one.has([*FORTY, "NEWUSDT"])
    await one.run(12)
    one.loopback.answers["GET", READ] = one.read
    await one.run(20)

    assert one.posts() == 2
    assert one.outcomes() == {"delivered": 2}


class Slow(Universe):
    """A database so slow that each update ends long after its time-out; it works on it all the same."""

    took_s = 75.0

    def __init__(self, *args: Any, **env: str):
        super().__init__(*args, **env)
        self.begun_s: float | None = None
        self.loopback.answers["POST", UPDATE] = self.begin

    async def begin(self, request: web.Request) -> web.StreamResponse:
        self.begun_s = self.clock.monotonic_s()
        self.rows = self.loopback.bodies[-1]["symbols"]
        return await reset(request)

    async def read(self, _: web.Request) -> web.StreamResponse:
        if self.begun_s is not None:
            share = (self.clock.monotonic_s() - self.begun_s) / self.took_s
            self.table |= {row["symbol"]: row["lastSeenAt"] for row in self.rows[: round(share * len(self.rows))]}
        return await super().read(_)


@pytest.fixture
def slow(redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient) -> Slow:
    return Slow(redis, clock, loopback, client, BACKEND_TIMEOUT_SEC="30")


@pytest.mark.parametrize("took_s", [20.0, 75.0, 300.0])
async def test_a_slow_database_is_waited_for(slow: Slow, took_s: float) -> None:
    """While what is served moves towards ours, the backend is at work: one POST is enough."""
    slow.took_s = took_s
    await slow.has(FORTY)

    await slow.run(took_s + 60)

    assert (slow.posts(), len(slow.table), slow.facts["universeVerdict"]) == (1, 40, "VERIFIED")
    assert slow.outcomes() == {"found": 1}
    assert await slow.redis.hget("oi:publisher", "universe") is None


async def test_a_kill_forgets_nothing_of_what_is_under_way(slow: Slow) -> None:
    await slow.has(FEW)
    with pytest.raises(InDoubt):
        await slow.delivery.look()
    slow.restart()

    await slow.run(30)
    assert slow.facts["universeVerdict"] == "IN_DOUBT"
    await slow.run(90)

    assert (slow.posts(), slow.facts["universeVerdict"]) == (1, "VERIFIED")


async def test_what_never_arrives_is_sent_again_ever_more_rarely(slow: Slow) -> None:
    slow.took_s = float("inf")
    await slow.has(FEW)

    await slow.run(30)
    assert slow.posts() == 1
    await slow.run(1800)

    assert 3 <= slow.posts() <= 7
    slow.loopback.answers["POST", UPDATE] = Universe.update.__get__(slow)
    await slow.run(1000)
    assert slow.outcomes()["again"] == 1


async def test_a_universe_that_changed_meanwhile_goes_out_after_the_one_under_way(slow: Slow) -> None:
    await slow.has(FORTY)
    await slow.run(30)
    slow.loopback.answers["POST", UPDATE] = Universe.update.__get__(slow)

    await slow.has([*FORTY, "NEWUSDT"])
    await slow.run(40)
    assert slow.posts() == 1
    await slow.run(60)

    assert (slow.posts(), "NEWUSDT" in slow.table) == (2, True)
    assert slow.outcomes() == {"found": 1, "delivered": 1}


@pytest.mark.parametrize("env", [{"BACKEND_AUDIT": "off"}, {}])
async def test_where_nothing_can_be_read_back_the_answer_has_to_do(make: Make, env: dict[str, str]) -> None:
    one = make(**env)
    one.loopback.answer("GET", READ, 404)
    await one.has(FEW)

    await one.run(200)

    assert one.posts() == 1
    assert (one.looks() == 0) is bool(env)
    assert one.facts["universeVerdict"] == ("UNAUDITED" if env else "UNVERIFIED")
    await one.has([*FEW, "NEWUSDT"])
    await one.run(30)
    assert one.posts() == 2


async def test_a_backend_that_is_away_is_waited_for(make: Make, client: httpx.AsyncClient) -> None:
    one = make()
    await one.has(FORTY)
    one.delivery.backend = Backend("http://127.0.0.1:1", "the-key", client, one.clock, 30)

    with pytest.raises(Away):
        await one.delivery.look()


@pytest.mark.parametrize(("status", "error"), [(401, Refused), (429, RateLimited)])
async def test_a_refusal_leaves_no_doubt(make: Make, status: int, error: type[Exception]) -> None:
    one = make()
    await one.has(FORTY)
    one.loopback.answer("POST", UPDATE, status)

    with pytest.raises(error):
        await one.delivery.look()

    assert await one.redis.hget("oi:publisher", "universe") is None


async def test_the_loop_says_what_is_wrong_and_waits(make: Make) -> None:
    one = make()
    await one.has(FORTY)
    one.loopback.answer("POST", UPDATE, 401)

    waits = await one.bench.waits(one.delivery.run, 1)

    assert "universe not delivered" in one.bench.said[0]
    assert one.outcomes() == {"failed": 1}
    assert 0.5 <= waits[0] <= 1


async def test_what_failed_is_over_with_the_next_look_that_finds_ours(make: Make) -> None:
    """Also where it was the look that failed: nothing is sent then, so nothing will arrive."""
    one = await delivered(make)
    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    failing = await one.bench.waits(one.delivery.run, 6)
    assert failing[-1] > 2 * failing[0]
    one.loopback.answers["GET", READ] = one.read
    one.bench.said.ended.clear()

    await one.bench.waits(one.delivery.run, 2)
    assert one.bench.said.ended.count("universe not delivered") == 1
    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    assert (await one.bench.waits(one.delivery.run, 1))[0] <= 1


async def test_what_failed_is_over_once_ours_arrived_and_not_while_it_is_held_back(make: Make) -> None:
    one = make()
    await one.has(FORTY)
    one.loopback.answer("POST", UPDATE, 402)
    await one.bench.waits(one.delivery.run, 1)
    one.loopback.answers["POST", UPDATE] = one.update
    one.clock.advance(LOOK_S)
    await one.delivery.look()
    assert one.bench.said.ended.count("universe not delivered") == 1

    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    await one.bench.waits(one.delivery.run, 1)
    one.loopback.answers["GET", READ] = one.read
    await one.has(FORTY[:30])
    await one.bench.waits(one.delivery.run, 3)
    assert one.facts["universeVerdict"] == "HELD_BACK"
    assert one.bench.said.ended.count("universe not delivered") == 1


@pytest.mark.parametrize("note", [b"", b"\xff\xff", b"A,B", b"A,B x y", b"A,B 99999999999999999 1", b"A 1 2 3"])
async def test_a_note_that_a_hand_wrote_stops_nothing(make: Make, note: bytes) -> None:
    one = make()
    await one.redis.hset("oi:publisher", "universe", note)
    await one.has(FEW)

    await one.run(60)

    assert len(one.table) == len(FEW)
