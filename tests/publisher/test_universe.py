"""The universe at a backend that another writes to too, and that deletes whoever is not listed."""

from __future__ import annotations

import pytest
from aiohttp import web

from services.publisher import universe
from shared.store import STATUS
from tests.publisher.universes import FEW, FORTY, HOLD_S, LOOK_S, READ, SEND_S, UPDATE, Make, delivered


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


async def test_a_cache_that_does_not_say_that_it_is_one_is_no_other_writer_and_no_reason_to_send_again(
    make: Make,
) -> None:
    one = await delivered(make)
    held: dict[str, str] = {}

    async def update(request: web.Request) -> web.StreamResponse:
        one.clock.advance(0.005)
        return await one.update(request)

    async def cached(request: web.Request) -> web.StreamResponse:
        fresh = await one.read(request)
        assert isinstance(fresh, web.Response)
        return web.json_response(text=held.setdefault(request.path_qs, str(fresh.text)))

    one.loopback.answers |= {("GET", READ): cached, ("POST", UPDATE): update}
    await one.run(LOOK_S)
    await one.has([*FORTY, "NEWUSDT"])
    await one.run(100)

    assert (one.posts(), one.facts["universeVerdict"], one.facts["universeDelivered"]) == (2, "VERIFIED", "41")
    assert "universeForeignAt" not in one.facts


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
    ended = one.said.ended.count
    assert ended("universe HELD_BACK") > ended("universe FOREIGN") > 0


async def test_a_writer_that_comes_now_and_then_is_answered_soon_each_time(make: Make) -> None:
    one = await delivered(make, FEW)
    for _ in range(5):
        one.table = {"OLDUSDT": "x"}
        await one.run(60)

    assert one.outcomes() == {"delivered": 1, "restored": 5}


async def test_a_symbol_that_enters_once_the_other_rests_does_not_wait_for_the_pace(make: Make) -> None:
    """The pace is of putting ours back: it kept a new symbol for up to five minutes more."""
    one = await delivered(make, FEW)
    for _ in range(120):
        one.table = {"OLDUSDT": "x"}
        await one.run(8)
    while one.facts["universeVerdict"] != "VERIFIED":
        await one.run(2)

    await one.has([*FEW, "NEWUSDT"])
    await one.run(60)

    assert "NEWUSDT" in one.table


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
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each update is two queries a symbol: a war would cost the backend more than the wrong universe does."""
    one = await delivered(make, FEW)
    monkeypatch.setattr(universe, "STEP_S", 10.0)  # half an hour in fewer steps

    async def lost(_: web.Request) -> web.StreamResponse:
        return web.json_response({"success": True})

    one.table = {"OLDUSDT": "x"}
    one.loopback.answers["POST", UPDATE] = lost
    await one.run(1800)

    assert 5 <= one.posts() <= 15
    assert one.facts["universeVerdict"] == "FOREIGN"
    assert "universe accepted, and not served" in caplog.messages


async def test_a_universe_that_can_be_read_back_again_ends_the_trouble(make: Make) -> None:
    """The log told of the next one as if it had lasted since the first."""
    one = await delivered(make)
    said, unread = one.said, "the backend's universe cannot be read back"
    said.ended.clear()
    one.loopback.answer("GET", READ, 500)
    await one.run(LOOK_S)
    assert (any(unread in line for line in said), unread in said.ended) == (True, False)

    one.loopback.answers["GET", READ] = one.read
    await one.run(LOOK_S)

    assert unread in said.ended


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
