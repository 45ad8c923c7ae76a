"""Which sweeps go out, when, in which order, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import web

from services.publisher.pace import BURST_S
from services.publisher.wire import InDoubt
from shared.codec import encode_sweep
from shared.sweeplog import entry_order
from tests.builders import reading, sweep
from tests.publisher.desk import INGEST, READ, SYMBOLS, Desk
from tests.publisher.loopback import reset

Make = Callable[..., Desk]


async def test_what_landed_during_an_outage_arrives_once_and_in_order(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.outage(12)

    await one.cycle()
    for _ in range(3):
        await one.cycle()

    assert one.node.stored() == one.timestamps()
    assert (one.duplicates, one.count("pipeline_thinned_sweeps_total")) == (0, 0)
    assert one.count("pipeline_backlog_sweeps") == 0


async def test_a_burst_of_late_sweeps_leaves_the_newest_its_time(desk: Make) -> None:
    """A dashboard must not show an hour-old market for as long as the backlog lasts."""
    one = desk()
    one.node.post_s = 2.0
    await one.cycle()
    await one.outage(30)
    before = len(one.node.stored())

    await one.land_next()
    landed_s = one.clock.monotonic_s()
    await one.until_delivered()

    late = len(one.node.stored()) - before - 1
    assert 1 <= late <= BURST_S / one.node.post_s
    assert one.clock.monotonic_s() - landed_s < 10
    while len(one.node.stored()) < len(one.landed):
        await one.cycle()
    assert sorted(one.node.stored()) == one.timestamps()


async def test_a_backend_slower_than_the_sweeps_is_always_given_the_newest(desk: Make) -> None:
    """40 ms a row: each burst posted an old sweep first, and what was served grew older for ever."""
    one = desk()
    one.node.post_s = 13.7
    await one.cycle()
    ages: list[float] = []
    next_s = one.clock.monotonic_s()
    for _ in range(40):  # by the clock a sweep each ten seconds, however long a POST takes
        while next_s <= one.clock.monotonic_s():
            await land_at(one, next_s)
            next_s += 10.2
        await one.step()
        ages.append((one.clock.now_ms() - one.landed_ms(one.node.stored()[-1])) / 1000)
        one.clock.advance(max(0.0, next_s - one.clock.monotonic_s()) if one.outbox.waiting == [] else 0.0)

    assert max(ages[3:]) <= 10.2 + 13.7 + 1
    assert len(one.outbox.waiting) <= 2
    assert one.count("pipeline_thinned_sweeps_total") > 5
    assert one.count("pipeline_lost_sweeps_total", cause="retention") == 0
    assert one.node.stored() == sorted(one.node.stored())


async def land_at(one: Desk, at_s: float) -> None:
    """A sweep that landed at an instant gone by, while a POST was under way."""
    behind_s = one.clock.monotonic_s() - at_s
    one.clock.set_wall(-behind_s)
    await one.land()
    one.clock.set_wall(behind_s)


async def test_a_backend_slower_than_its_own_timeout_is_found_slow(desk: Make) -> None:
    """Each POST is given up and found served later: the next is no late one, and nothing is posted twice."""
    one = desk()
    for _ in range(2):
        await one.cycle()

    async def answer_late(request):  # type: ignore[no-untyped-def]
        one.clock.advance(20)
        await one.node.ingest(request)
        return await reset(request)

    one.loopback.answers["POST", "/api/market/open-interest/ingest"] = answer_late
    next_s = one.clock.monotonic_s() + 10
    for _ in range(12):
        while next_s <= one.clock.monotonic_s():
            await land_at(one, next_s)
            next_s += 10
        await one.step()
        if not one.outbox.waiting:
            one.clock.advance(max(0.0, next_s - one.clock.monotonic_s()))

    stored = one.node.stored()
    assert stored == sorted(set(stored))
    assert one.count("pipeline_thinned_sweeps_total") > 0
    assert one.duplicates == 0


async def test_a_doubt_from_a_clock_that_was_ahead_is_not_waited_for(desk: Make) -> None:
    """Its note says that it was posted in an hour."""
    one = desk()
    await one.cycle()
    one.node.answers = [502]
    await one.land_next()
    await one.step()
    one.clock.set_wall(-3600)

    await one.until_delivered(3)

    assert len(one.node.sizes) == 3


async def test_neither_a_long_post_nor_a_quiet_that_was_asked_for_is_a_hang(desk: Make) -> None:
    """The service manager would kill it, again and again."""
    one = desk(BACKEND_TIMEOUT_SEC="300")
    hung: list[bool] = []

    async def refuse_late(_: web.Request) -> web.StreamResponse:
        one.clock.advance(299)
        hung.append(one.service.health.hangs())
        return web.json_response({"error": "no"}, status=429, headers={"Retry-After": "3600"})

    one.loopback.answers[INGEST] = refuse_late
    await one.land_next()
    wait_s = await one.delivery.step()
    one.clock.advance(wait_s)

    assert (wait_s, hung, one.service.health.hangs()) == (3600, [False], False)
    one.clock.advance(3600)
    assert one.service.health.hangs()


async def test_a_post_that_timed_out_is_given_as_long_again(desk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend may be at work on it still."""
    one = desk(BACKEND_TIMEOUT_SEC="30")
    await one.cycle()

    async def time_out(*_: object, **__: object) -> None:
        raise InDoubt("no complete answer", answered=False, timed_out=True)

    with monkeypatch.context() as patch:
        patch.setattr(one.batches.backend, "ingest", time_out)
        await one.land_next()
        await one.step()
    begun_s = one.clock.monotonic_s()
    await one.until_delivered()

    assert one.clock.monotonic_s() - begun_s >= 2 * 30 - 15
    assert one.node.stored() == one.timestamps()


@pytest.mark.parametrize(("slow", "thinned"), [(1, False), (3, True)])
async def test_a_doubt_makes_way_for_the_newest(desk: Make, slow: int, thinned: bool) -> None:
    """Where it is thinned it went out once, and is no duplicate."""
    one = desk()
    one.node.post_s = 9.0
    for _ in range(slow):
        await one.cycle()
    one.node.answers = [502]
    await one.land_next()
    await one.step()
    one.clock.advance(30)
    await one.land()

    await one.until_delivered()
    assert one.node.stored()[-1] == one.timestamps()[-1]
    one.node.post_s = 0.1
    for _ in range(3):
        await one.cycle()

    assert one.count("pipeline_thinned_sweeps_total") == thinned
    expected = one.timestamps()
    if thinned:
        del expected[slow]
    assert sorted(one.node.stored()) == expected
    assert one.duplicates == (not thinned)
    assert await one.redis.hget("oi:publisher", "duplicates") == (b"0" if thinned else b"1")


async def test_a_slow_backend_keeps_what_an_outage_left_until_there_is_time(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.outage(5)
    one.node.post_s = 9.0
    await one.cycle()  # how slow it is shows with this one
    waiting = len(one.outbox.waiting)
    for _ in range(5):
        one.clock.advance(1)
        await one.cycle()

    assert waiting > 0
    assert len(one.outbox.waiting) == waiting
    one.node.post_s = 0.1
    for _ in range(3):
        await one.cycle()
    assert one.outbox.waiting == []
    assert sorted(one.node.stored()) == one.timestamps()


async def test_served_and_not_stored_is_said_and_stored_later(desk: Make) -> None:
    """200, success false: the dashboard was right, the database empty, and everything said VERIFIED."""
    one = desk()
    await one.cycle()
    one.node.stores = False

    for _ in range(3):
        assert await one.cycle() == "PARTIAL"
    report = one.service.health.report()
    assert (report.healthy, "served, not stored" in report.detail) == (False, True)
    assert one.count("pipeline_rejected_rows_total") == 3 * len(SYMBOLS)
    assert one.count("pipeline_unstored_rows") == len(SYMBOLS)
    assert one.node.sizes == [len(SYMBOLS)] * 4  # no late one is tried while the database refuses the newest

    one.node.stores = True
    for _ in range(2):
        assert await one.cycle() == "VERIFIED"
    assert sorted(one.node.stored()) == one.timestamps()
    assert one.duplicates == 0


@pytest.mark.parametrize("killed", [False, True])
async def test_an_unclear_post_is_looked_for_and_not_repeated(desk: Make, killed: bool) -> None:
    one = desk()
    await one.cycle()
    one.node.answers = ["taken"]
    await one.land_next()
    await one.step()
    if killed:
        one.restart()

    await one.until_delivered()

    assert one.verdict == "VERIFIED"
    assert "found served" in one.fact("why")
    assert one.node.stored() == one.timestamps()
    assert one.duplicates == 0


async def test_a_batch_found_after_an_hour_did_not_take_an_hour(desk: Make) -> None:
    """The host was down meanwhile; and the next batch in doubt was waited for as if a POST took that long."""
    one = desk(BACKEND_TIMEOUT_SEC="30")
    await one.cycle()
    one.node.answers = ["taken"]
    await one.land_next()
    await one.step()
    one.restart()
    one.clock.advance(3600)
    await one.until_delivered()
    assert "found served" in one.fact("why")
    one.node.answers = [502]
    await one.land_next()
    begun_s = one.clock.monotonic_s()

    await one.until_delivered()

    assert one.clock.monotonic_s() - begun_s < 200


async def test_a_refused_key_is_said_once_and_names_what_to_check(desk: Make, caplog: pytest.LogCaptureFixture) -> None:
    one = desk()
    await one.cycle()
    one.node.answers = [401] * 5
    await one.land_next()
    for _ in range(4):
        await one.step()

    assert "BACKEND_API_KEY" in one.service.health.report().detail
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == ["the backend refuses everything"]


@pytest.mark.parametrize(("answers", "duplicates"), [([502, 429, 429, 429], 1), ([429, 402, 410, 403, 413], 0)])
async def test_what_goes_out_again_is_counted_where_it_may_have_arrived(
    desk: Make, answers: list[int | str], duplicates: int
) -> None:
    one = desk()
    await one.cycle()
    one.node.answers = answers

    assert await one.cycle() == "VERIFIED"

    assert one.node.stored() == one.timestamps()
    assert one.duplicates == duplicates
    one.restart()
    await one.cycle()
    assert one.duplicates == duplicates  # a restart forgets none
    assert int(await one.redis.hget("oi:publisher", "duplicates") or 0) == duplicates
    one.restart()
    await one.cycle()
    assert one.duplicates == duplicates
    assert sum(one.count("pipeline_lost_sweeps_total", cause=cause) for cause in ("refused", "retention")) == 0


async def test_a_backend_that_takes_not_one_row_is_named_and_nothing_is_in_doubt(desk: Make) -> None:
    """Each retry counted as a batch that may have arrived."""
    one = desk()
    one.node.most_rows = 0
    await one.land()
    for _ in range(4):
        await one.step()
        assert "413 to a single row" in one.fact("blocked")
    one.node.most_rows = 100
    await one.until_delivered()

    assert one.duplicates == 0


async def test_a_batch_taken_in_part_is_posted_again_and_its_values_are_ours(desk: Make) -> None:
    """Piece 1 was taken, piece 2 met a 429, and one symbol lost its mark meanwhile: nobody else wrote its value."""
    one = desk(BACKEND_MAX_ROWS="10")
    await one.cycle()
    await one.land_next()
    one.node.answers = [200, 429]
    wait_s = await one.step()
    assert wait_s > 0
    gone = one.loopback.posts()[2]["data"][0]["symbol"]
    await one.redis.hdel("oi:mark", gone)

    await one.until_delivered()

    assert one.verdict == "VERIFIED"
    assert one.duplicates == 1
    assert await one.redis.hgetall("oi:left_out") == {gone.encode(): b"missing_mark"}
    assert b'"verdict":"kept"' in await one.redis.hget("oi:served", gone)


async def test_each_piece_is_noted_before_it_goes_out(desk: Make) -> None:
    """After a 413 in mid-batch a piece went out unnoted: a kill there lost all memory of it."""
    one = desk(BACKEND_MAX_ROWS="10")
    noted: list[bool] = []
    ingest = one.node.ingest

    async def answer(request):  # type: ignore[no-untyped-def]
        noted.append(bool(await one.redis.hexists("oi:publisher", "attempt")))
        return await ingest(request)

    one.loopback.answers["POST", "/api/market/open-interest/ingest"] = answer
    one.node.answers = [200, 413, "taken"]

    await one.cycle()

    assert all(noted)
    assert one.node.sizes[:3] == [10, 10, 5]


async def test_a_sweep_nobody_can_read_costs_only_itself(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.redis.xadd("oi:sweeps", {"sweep": b"\xc1"}, id=f"{one.clock.now_ms() + 1}-0")
    late = encode_sweep(sweep(reading(), ended_ms=10**15))
    await one.redis.xadd("oi:sweeps", {"sweep": late}, id=f"{one.clock.now_ms() + 2}-0")

    assert await one.cycle() == "VERIFIED"

    assert one.count("pipeline_lost_sweeps_total", cause="unreadable") == 2


async def test_a_batch_the_backend_refuses_for_good_does_not_hold_up_the_rest(desk: Make) -> None:
    one = desk()
    await one.cycle()
    one.node.answers = [400, 400, 400]
    await one.land_next()
    for _ in range(4):
        await one.step()
    assert one.count("pipeline_lost_sweeps_total", cause="refused") == 1

    assert await one.cycle() == "VERIFIED"
    assert one.node.stored() == [one.timestamps()[0], one.timestamps()[2]]


async def test_nothing_to_read_back_at_the_start_is_said_and_stops_nothing(
    desk: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one = desk()
    one.loopback.answer(*READ, 500)
    await one.step()
    one.loopback.answers[READ] = one.node.read

    assert await one.cycle() == "VERIFIED"
    assert "nothing to read back at the start" in caplog.messages


async def test_the_loop_waits_as_long_as_its_round_says(desk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = desk()
    one.node.answers = [429, 200]
    await one.land()
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        one.clock.advance(seconds)
        if one.outbox.waiting == []:
            raise KeyboardInterrupt

    monkeypatch.setattr(one.clock, "sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        await one.delivery.run()

    assert waits == [2.0, 0.0]


async def test_a_silent_poller_is_named(desk: Make) -> None:
    one = desk(VERIFIED_MAX_AGE_SEC="30")
    await one.cycle()
    one.clock.advance(31)
    await one.step()

    report = one.service.health.report()
    assert (report.healthy, "oi_poller" in report.detail) == (False, True)


async def test_a_late_batch_carries_the_marks_of_its_own_time(desk: Make) -> None:
    one = desk()
    await one.cycle()
    await one.outage(1)
    await one.redis.hdel("oi:mark", *SYMBOLS)
    await one.cycle(without=SYMBOLS[0])

    late = one.loopback.posts()[-2]
    assert len(late["data"]) == len(SYMBOLS)
    assert entry_order(one.outbox.delivered_id)[0] == one.landed[-1].ended_ms
