"""Alerts to a backend that may have had them already: once, in order, and none without a word."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis

from services.publisher import alerts as alerts_module
from services.publisher.alerts import AlertDelivery, is_same
from services.publisher.backend import Backend
from services.publisher.wire import Away, InDoubt
from shared.alert import AlertBody, encode_alert
from shared.errors import RateLimited, Refused, Transient
from tests.fakes import FakeClock
from tests.publisher.deliveries import Bench
from tests.publisher.loopback import Loopback, reset

INGEST = "/api/open-interest-alerts/ingest"
ALERTS = "/api/open-interest-alerts"
AT = "2025-12-03T05:10:00.000Z"
SENT = AlertBody("BTCUSDT", "UP", 100_000.0, 103_400.0, 0.034, 3400.0, "5 min", AT, "oi_realtime_poller")
ROW = {
    "id": "ckx", "symbol": "BTCUSDT", "direction": "UP", "baseline": "100000", "current": "103400.00000000",
    "pctChange": "0.034", "absChange": "3400", "priceChange": None, "fundingRate": None, "timeframe": "5 min",
    "source": "oi_realtime_poller", "ts": AT, "createdAt": "2025-12-03T05:10:01.200Z",
}  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ROW, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("served", "same"),
    [
        (row(), True),
        (row(ts=..., timestamp="2025-12-03T05:10:00Z"), True),
        (row(timeframe=...), True),
        (row(timeframe=None), True),
        (row(timeframe=..., baseline="99000"), False),  # the alert of another time frame, at the same instant
        (row(timeframe=..., baseline="100000.01"), False),
        (row(timeframe=..., current="x"), False),
        (row(timeframe=..., current=10**400), False),
        (row(timeframe="15 min"), False),
        (row(direction="DOWN"), False),
        (row(symbol="ETHUSDT"), False),
        (row(ts="2025-12-03T05:10:00.001Z"), False),
        (row(ts="yesterday"), False),
        (row(ts=17), False),
        ({}, False),
    ],
)
def test_an_alert_is_recognised_in_the_backends_database_rows(served: dict[str, Any], same: bool) -> None:
    assert is_same(SENT, served) is same


def test_the_backends_spelling_of_a_symbol_is_the_same_symbol() -> None:
    assert is_same(AlertBody("BTCUSDT_260327", "UP", 1, 2, 1, 1, "5 min", AT, "x"), row(symbol="BTCUSDT260327"))


class Alerts(Bench):
    """A stream with alerts in it, their delivery, and the backend they go to."""

    kind = "alert"

    def __init__(self, redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient, **env: str):
        super().__init__(redis, clock, loopback.url, **env)
        self.redis = redis
        self.loopback = loopback
        self.backend = Backend(loopback.url, "the-key", client, clock, 30)
        self.delivery = self.restarted()

    def restarted(self) -> AlertDelivery:
        self.delivery = AlertDelivery(backend=self.backend, **self.given())
        return self.delivery

    async def add(self, number: int, blob: bytes | None = None) -> str:
        body = AlertBody("BTCUSDT", "UP", 1000.0 + number, 2000, 1, 1000, "5 min", AT, "x")
        return (await self.redis.xadd("oi:alerts", {"alert": blob or encode_alert(body)})).decode()

    async def step(self, count: int = 1) -> None:
        for _ in range(count):
            await self.delivery.deliver_next()

    def sent(self) -> list[float]:
        return [body["baseline"] for body in self.loopback.posts(INGEST)]

    async def pending(self) -> int:
        return int((await self.redis.xpending("oi:alerts", "publisher"))["pending"])

    async def noted(self) -> bytes | None:
        noted: bytes | None = await self.redis.hget("oi:publisher", "alert")
        return noted

    def shown(self, *rows: dict[str, Any]) -> None:
        self.loopback.answer("GET", ALERTS, 200, json.dumps({"alerts": rows}).encode())


Make = Callable[..., Alerts]


@pytest.fixture
def make(redis: Redis, clock: FakeClock, loopback: Loopback, client: httpx.AsyncClient) -> Make:
    return lambda **env: Alerts(redis, clock, loopback, client, **env)


async def in_doubt(make: Make, status: int = 502, body: bytes = b"<html>", **env: str) -> Alerts:
    """One alert was sent, and its answer tells nothing."""
    one = make(**env)
    await one.add(1)
    one.loopback.answer("POST", INGEST, status, body)
    with pytest.raises(InDoubt):
        await one.step()
    return one


async def test_alerts_go_out_once_in_order_and_are_acknowledged(make: Make) -> None:
    one = make()
    ids = [await one.add(n) for n in range(3)]

    waits_s = [await one.delivery.deliver_next() for _ in range(3)]

    assert waits_s == [0, 0, 0]
    assert one.sent() == [1000.0, 1001.0, 1002.0]
    assert (await one.pending(), await one.noted()) == (0, None)
    assert await one.redis.hget("oi:publisher", "alert_delivered") == ids[-1].encode()
    assert one.outcomes() == {"delivered": 3}
    assert await one.redis.hget("oi:publisher", "alerts_in_doubt") is None
    assert one.loopback.requests[0].headers["X-API-Key"] == "the-key"


async def stored_behind_a_502(request: web.Request) -> web.StreamResponse:
    return web.Response(status=502, body=b"<html>")


@pytest.mark.parametrize("trouble", [stored_behind_a_502, reset])
@pytest.mark.parametrize("restart", [False, True])
async def test_an_alert_that_arrived_behind_an_unclear_answer_is_found(make: Make, trouble: Any, restart: bool) -> None:
    one = make()
    await one.add(1)
    one.loopback.answers["POST", INGEST] = trouble
    with pytest.raises(InDoubt):
        await one.step()
    one.shown(row(symbol="ETHUSDT"), row(baseline="1001", current="2000"))
    if restart:
        one.restarted()

    await one.step()

    assert one.sent() == [1001.0]
    assert await one.pending() == 0
    assert one.outcomes() == {"found": 1}


async def test_an_alert_that_is_not_there_is_sent_again_when_the_backend_has_had_its_time(
    make: Make, clock: FakeClock
) -> None:
    one = await in_doubt(make, BACKEND_TIMEOUT_SEC="30")
    one.shown()
    one.loopback.answer("POST", INGEST)

    clock.advance(29)
    with pytest.raises(Away, match="not served yet"):
        await one.step()
    clock.advance(2)
    await one.step()

    assert one.sent() == [1001.0, 1001.0]
    assert one.outcomes() == {"again": 1, "delivered": 1}


async def test_an_alert_in_doubt_whose_next_post_has_no_effect_is_still_in_doubt(make: Make, clock: FakeClock) -> None:
    """A 429 to the second POST made the first forgotten: the third went out without a look, and was heard again."""
    one = await in_doubt(make, BACKEND_TIMEOUT_SEC="30")
    one.shown()
    clock.advance(31)
    one.loopback.answer("POST", INGEST, 429)
    with pytest.raises(RateLimited):
        await one.step()
    clock.advance(10)
    one.shown(row(baseline="1001", current="2000"))

    await one.step()

    assert len(one.sent()) == 2
    assert one.outcomes() == {"again": 1, "found": 1}


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_where_nobody_can_look_an_alert_is_sent_once_and_that_is_counted(make: Make, status: int) -> None:
    """The real backend shows its alerts to a user's session alone; a spike heard twice is one too many."""
    one = await in_doubt(make)
    await one.add(2)
    one.loopback.answer("GET", ALERTS, status, b'{"error": "Authentication required"}')

    wait_s = await one.delivery.deliver_next()
    one.loopback.answer("POST", INGEST)
    await one.step()

    assert one.sent() == [1001.0, 1002.0]
    assert wait_s > 0  # the next one is not spent on the same trouble at once
    assert await one.redis.hget("oi:publisher", "alerts_in_doubt") == b"1"
    assert one.outcomes() == {"in_doubt": 1, "delivered": 1}
    assert await one.pending() == 0


async def test_an_operator_may_choose_to_hear_it_twice(make: Make) -> None:
    one = await in_doubt(make, ALERTS_IN_DOUBT="again")
    one.loopback.answer("GET", ALERTS, 401)
    one.loopback.answer("POST", INGEST)

    await one.step()

    assert one.sent() == [1001.0, 1001.0]
    assert one.outcomes() == {"again": 1, "delivered": 1}


async def test_without_an_audit_nobody_looks(make: Make) -> None:
    one = await in_doubt(make, BACKEND_AUDIT="off")

    await one.step()

    assert [request.method for request in one.loopback.requests] == ["POST"]
    assert one.outcomes() == {"in_doubt": 1}


async def test_a_backend_that_shows_nothing_readable_is_looked_at_for_a_minute_beyond_its_time(
    make: Make, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    one = await in_doubt(make, BACKEND_TIMEOUT_SEC="30")
    one.loopback.answer("GET", ALERTS, 500)
    for _ in range(9):
        with pytest.raises(Away):
            await one.step()
        clock.advance(10)

    await one.step()

    assert one.outcomes() == {"in_doubt": 1}
    assert len(one.sent()) == 1
    assert "an alert in doubt is not sent again" in caplog.messages


async def test_a_backend_that_is_away_is_waited_for(make: Make, clock: FakeClock, client: httpx.AsyncClient) -> None:
    one = await in_doubt(make)
    one.delivery.backend = Backend("http://127.0.0.1:1", "the-key", client, one.clock, 30)

    for _ in range(20):
        with pytest.raises(Away) as caught:
            await one.step()
        clock.advance(10)

    assert not caught.value.answered
    assert await one.pending() == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (402, b"<html>pay", Refused),
        (429, b"{}", RateLimited),
        (400, b"<html>", Refused),
        (500, b'{"error":"Internal server error"}', Away),  # the backend's own: nothing was stored, and it is no doubt
    ],
)
async def test_what_is_not_about_the_alert_does_not_cost_it(
    make: Make, clock: FakeClock, status: int, body: bytes, error: type[Exception]
) -> None:
    """A hosting platform that was not paid answers 402 to everything for hours."""
    one = make()
    await one.add(1)
    one.loopback.answer("POST", INGEST, status, body)

    for _ in range(3):
        with pytest.raises(error) as caught:
            await one.step()
        assert type(caught.value) is error

    assert (await one.pending(), await one.noted()) == (1, None)
    del one.loopback.answers["POST", INGEST]
    clock.advance(60)
    await one.step()
    assert one.outcomes() == {"delivered": 1}


async def test_an_alert_that_the_backend_refuses_or_nobody_can_read_is_dropped_and_the_next_goes_on(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one = make()
    await one.add(1)
    await one.add(2, b"\xc1")
    await one.redis.xadd("oi:alerts", {"other": b"x"})
    await one.add(3)
    one.loopback.answer("POST", INGEST, 400, b'{"error": "Invalid payload"}')
    await one.step()
    one.loopback.answer("POST", INGEST)

    await one.step(3)

    assert one.sent() == [1001.0, 1003.0]
    assert one.outcomes() == {"dropped": 3, "delivered": 1}
    assert await one.pending() == 0
    bad = [one.count("pipeline_bad_rows_total", source="alerts", reason=r) for r in ("refused", "stored_alert")]
    assert bad == [1, 2]
    assert caplog.messages == ["alert dropped"] * 3


@pytest.mark.parametrize("lost", ["destroyed", "set back"])
async def test_a_group_that_is_gone_or_set_back_repeats_nothing(make: Make, lost: str) -> None:
    """A failover may lose the group's position; twelve old spikes in every browser are no way to learn of it."""
    one = make()
    for n in range(4):
        await one.add(n)
    await one.step(3)
    if lost == "destroyed":
        await one.redis.xgroup_destroy("oi:alerts", "publisher")
    else:
        await one.redis.xgroup_setid("oi:alerts", "publisher", "0")

    await one.step(1 if lost == "destroyed" else 4)

    assert one.sent() == [1000.0, 1001.0, 1002.0, 1003.0]
    assert await one.pending() == 0
    assert one.outcomes().get("repeated", 0) == (0 if lost == "destroyed" else 3)


async def test_a_redis_that_came_back_with_what_it_held_earlier_repeats_nothing(make: Make) -> None:
    """As from a snapshot of a minute ago, in which alerts waited that have been delivered since."""
    one = make()
    await one.add(0)
    await one.step()
    await one.add(1)
    held = {key: await one.redis.dump(key) for key in ("oi:alerts", "oi:publisher")}
    await one.add(2)
    await one.step(2)
    for key, blob in held.items():
        await one.redis.restore(key, 0, blob, replace=True)

    await one.step()
    await one.add(3)
    await one.step()

    assert one.sent() == [1000.0, 1001.0, 1002.0, 1003.0]
    assert await one.pending() == 0


async def test_the_loop_obeys_retry_after_and_is_ever_more_patient_until_one_is_delivered(make: Make) -> None:
    one = make()
    await one.add(1)
    one.loopback.answer("POST", INGEST, 429, b"{}", **{"Retry-After": "40"})
    assert await one.waits(one.delivery.run, 1) == [40.0]
    assert "alerts wait in oi:alerts" in one.said[0]
    one.loopback.answer("POST", INGEST, 402)
    failing = await one.waits(one.delivery.run, 6)
    one.loopback.answer("POST", INGEST)
    await one.step()
    await one.add(2)
    one.loopback.answer("POST", INGEST, 402)

    again = await one.waits(one.delivery.run, 1)

    assert failing[-1] > 2 * failing[0]
    assert again[0] <= 0.5


async def test_each_time_it_goes_out_the_backend_is_given_longer(make: Make, clock: FakeClock) -> None:
    one = make(BACKEND_TIMEOUT_SEC="30")
    entry_id = await one.add(1)
    one.loopback.answer("POST", INGEST, 502)
    one.shown()

    for posts, patience_s in ((1, 30), (2, 60), (3, 120)):
        with pytest.raises(InDoubt):
            await one.step()
        assert await one.noted() == f"{entry_id} {clock.now_ms() + patience_s * 1000} {posts}".encode()
        clock.advance(patience_s + 1)


@pytest.mark.parametrize(("old_ms", "outcomes"), [(900_000, {}), (900_001, {"dropped": 1})])
async def test_one_that_can_never_be_stored_does_not_hold_up_the_rest_for_ever(
    make: Make, clock: FakeClock, old_ms: int, outcomes: dict[str, int]
) -> None:
    one = make()
    await one.add(1)
    one.loopback.answer("POST", INGEST, 500, b'{"error":"Internal server error"}')
    with pytest.raises(Away):
        await one.delivery.deliver_next()
    entry_ms = int((await one.redis.xrange("oi:alerts"))[0][0].partition(b"-")[0])
    clock.set_wall((entry_ms - clock.now_ms() + old_ms) / 1000)

    with contextlib.suppress(Away):
        await one.delivery.deliver_next()

    assert one.outcomes() == outcomes


async def test_an_outage_that_no_alert_met_leaves_nothing_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts are rare: the next outage, days later, would begin with the longest wait, and be told as lasting since."""
    alerts, tries = make(), 0
    monkeypatch.setattr(alerts_module, "BLOCK_MS", 1)
    known = alerts.delivery._delivered_id

    async def delivered_id() -> str:
        nonlocal tries
        tries += 1
        if tries != 7:  # the seventh finds Redis well, and nothing to deliver
            raise Transient("Redis: gone")
        return await known()

    alerts.delivery._delivered_id = delivered_id  # type: ignore[method-assign]
    waits = await alerts.waits(alerts.delivery.run, 8)

    assert waits[5] > 2
    assert waits[6] == 0
    assert waits[7] <= 0.5
    assert alerts.said.ended == [alerts_module.WAIT]
