"""The universe at a backend that is slow, is away, or answers unclearly: it is looked for before it goes out again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from services.publisher import universe
from services.publisher.backend import Backend
from services.publisher.wire import Away, InDoubt
from shared.errors import RateLimited, Refused
from tests.fakes import FakeClock
from tests.publisher.loopback import Loopback, reset
from tests.publisher.universes import FEW, FORTY, LOOK_S, READ, UPDATE, Make, Universe, delivered


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


async def test_what_never_arrives_is_sent_again_ever_more_rarely(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.took_s = float("inf")
    await slow.has(FEW)

    await slow.run(30)
    assert slow.posts() == 1
    monkeypatch.setattr(universe, "STEP_S", 10.0)  # half an hour in fewer steps
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


async def test_what_failed_is_over_with_the_next_look_that_finds_ours(make: Make) -> None:
    """Also where it was the look that failed: nothing is sent then, so nothing will arrive."""
    one = await delivered(make)
    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    failing = await one.waits(one.delivery.run, 6)
    assert failing[-1] > 2 * failing[0]
    one.loopback.answers["GET", READ] = one.read
    one.said.ended.clear()

    await one.waits(one.delivery.run, 2)
    assert one.said.ended.count("universe not delivered") == 1
    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    assert (await one.waits(one.delivery.run, 1))[0] <= 1


async def test_what_failed_is_over_once_ours_arrived_and_not_while_it_is_held_back(make: Make) -> None:
    one = make()
    await one.has(FORTY)
    one.loopback.answer("POST", UPDATE, 402)
    waits = await one.waits(one.delivery.run, 1)
    assert "universe not delivered" in one.said[0]
    assert one.outcomes() == {"failed": 1}
    assert 0.5 <= waits[0] <= 1
    one.loopback.answers["POST", UPDATE] = one.update
    one.clock.advance(LOOK_S)
    await one.delivery.look()
    assert one.said.ended.count("universe not delivered") == 1

    one.loopback.answers["GET", READ] = reset
    one.clock.advance(LOOK_S)
    await one.waits(one.delivery.run, 1)
    one.loopback.answers["GET", READ] = one.read
    await one.has(FORTY[:30])
    await one.waits(one.delivery.run, 3)
    assert one.facts["universeVerdict"] == "HELD_BACK"
    assert one.said.ended.count("universe not delivered") == 1


@pytest.mark.parametrize("note", [b"", b"\xff\xff", b"A,B", b"A,B x y", b"A,B 99999999999999999 1", b"A 1 2 3"])
async def test_a_note_that_a_hand_wrote_stops_nothing(make: Make, note: bytes) -> None:
    one = make()
    await one.redis.hset("oi:publisher", "universe", note)
    await one.has(FEW)

    await one.run(60)

    assert len(one.table) == len(FEW)
